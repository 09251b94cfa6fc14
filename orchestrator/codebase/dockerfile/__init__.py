"""The Dockerfile language: what a file says, which images it needs, what is refused, what is put into it.

Pure, and without any knowledge of the Engine. The build step and `previewd check` use it.
"""

from orchestrator.codebase.dockerfile.certificates import PROXY_ARGS, Certified, certified, proxy_args
from orchestrator.codebase.dockerfile.parser import Directive, Flag, Heredoc, Instruction, directives, parse
from orchestrator.codebase.dockerfile.refusals import Finding, judge, judge_triggers
from orchestrator.codebase.dockerfile.rewrite import rewrite
from orchestrator.codebase.dockerfile.stages import Reference, Stage, base_images, frontends, needed, stages

__all__ = [
    "PROXY_ARGS",
    "Certified",
    "Directive",
    "Finding",
    "Flag",
    "Heredoc",
    "Instruction",
    "Reference",
    "Stage",
    "base_images",
    "certified",
    "directives",
    "frontends",
    "judge",
    "judge_triggers",
    "needed",
    "parse",
    "proxy_args",
    "rewrite",
    "stages",
]
