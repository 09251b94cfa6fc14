"""The Dockerfile language: what a file says, which images it needs, what is refused, what is put into it.

Pure, and without any knowledge of the Engine. The build step and `previewd check` use it.
"""

from orchestrator.codebase.dockerfile.certificates import certified, proxy_args
from orchestrator.codebase.dockerfile.parser import Directive, Instruction, directives, parse
from orchestrator.codebase.dockerfile.refusals import judge, judge_triggers
from orchestrator.codebase.dockerfile.rewrite import rewrite
from orchestrator.codebase.dockerfile.stages import base_images, needed, stages

__all__ = [
    "Directive",
    "Instruction",
    "base_images",
    "certified",
    "directives",
    "judge",
    "judge_triggers",
    "needed",
    "parse",
    "proxy_args",
    "rewrite",
    "stages",
]
