"""What a browser sees under a preview's host while no container answers there: small pages that need nothing else."""

import base64
import hashlib
import html
from dataclasses import dataclass

from orchestrator.preview.state import State

STYLE = """
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--line:#e3e6eb;--text:#1a1f29;--soft:#5b6573;--mark:#3b5bdb}
@media(prefers-color-scheme:dark){
:root{--bg:#0f1218;--card:#171b23;--line:#2a303c;--text:#e6e9ef;--soft:#98a2b3;--mark:#8da2fb}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:24px;background:var(--bg);color:var(--text);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{width:100%;max-width:520px;padding:36px 36px 28px;background:var(--card);border:1px solid var(--line);
border-radius:14px;box-shadow:0 1px 2px rgb(0 0 0/.05),0 12px 32px rgb(0 0 0/.06)}
h1{margin:0 0 8px;font-size:22px;line-height:1.3;letter-spacing:-.01em}
p{margin:0 0 14px;color:var(--soft);overflow-wrap:anywhere}
.reason{padding:10px 14px;border-left:3px solid var(--mark);background:var(--bg);border-radius:0 8px 8px 0;
color:var(--text)}
.bar{height:4px;margin:0 0 24px;border-radius:2px;background:var(--line);overflow:hidden}
.bar i{display:block;width:40%;height:100%;border-radius:2px;background:var(--mark);
animation:go 1.4s ease-in-out infinite}
footer{display:flex;flex-wrap:wrap;gap:4px 16px;justify-content:space-between;margin-top:22px;padding-top:16px;
border-top:1px solid var(--line);font-size:13px;color:var(--soft);overflow-wrap:anywhere}
@keyframes go{from{transform:translateX(-100%)}to{transform:translateX(250%)}}
@media(prefers-reduced-motion:reduce){.bar i{width:100%;animation:none;opacity:.5}}
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'"
"""No script at all, and no style but ours."""

SOON_SECONDS = 2
LATER_SECONDS = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page. `refresh` is in seconds; 0 means that waiting does not help."""

    status: int
    title: str
    text: str
    state: str = ""
    reason: str = ""
    refresh: int = 0
    busy: bool = False

    def html(self, host: str) -> bytes:
        """The page for a browser. Everything that comes from elsewhere is escaped."""
        return _HTML.format(
            refresh=f'<meta http-equiv="refresh" content="{self.refresh}">' if self.refresh else "",
            style=STYLE,
            bar='<div class="bar"><i></i></div>' if self.busy else "",
            title=html.escape(self.title),
            text=html.escape(self.text),
            reason=f'<p class="reason">{html.escape(self.reason)}</p>' if self.reason else "",
            host=html.escape(host),
            state=html.escape(self.state),
        ).encode()

    def text_only(self) -> bytes:
        """The page for programs."""
        return ("\n".join(part for part in (self.title, self.reason, self.text) if part) + "\n").encode()


UNKNOWN = Page(
    status=404,
    title="There is no preview here",
    text="No open pull request has this address. It may have been closed, and its preview removed with it.",
)
UNAVAILABLE = Page(
    status=503,
    title="previewd cannot look this preview up",
    text="Its database does not answer at the moment. This page tries again by itself.",
    refresh=SOON_SECONDS,
)


def page(state: State, reason: str) -> Page:
    """The page of a preview that nothing serves."""
    match state:
        case State.WAITING:
            return _known(state, reason, "This preview is waiting", "It starts when that has changed.", LATER_SECONDS)
        case State.FAILED:
            text = "The pull request says more. The next push starts it again."
            return _known(state, reason, "This preview could not be started", text, LATER_SECONDS)
        case State.SLEEPING:
            return _known(
                state, reason, "This preview is asleep", "It was stopped for want of visitors.", LATER_SECONDS
            )
        case State.REMOVING | State.REMOVED:
            text = "Its pull request was closed."
            return Page(status=404, title="This preview is being removed", text=text, state=state.value, reason=reason)
        case State.QUEUED | State.BUILDING | State.PREPARING | State.STARTING | State.READY:
            return Page(
                status=503,
                title="This preview is being built",
                text="This page shows it as soon as it answers.",
                state=state.value,
                reason=reason,
                refresh=SOON_SECONDS,
                busy=True,
            )


def _known(state: State, reason: str, title: str, text: str, refresh: int) -> Page:
    return Page(status=503, title=title, text=text, state=state.value, reason=reason, refresh=refresh)


_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">{refresh}<title>{title}</title><style>{style}</style></head>
<body><main>{bar}<h1>{title}</h1>{reason}<p>{text}</p>
<footer><span>{host}</span><span>{state}</span></footer></main></body></html>
"""
