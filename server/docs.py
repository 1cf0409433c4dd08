"""The docs page: Swagger UI from the assets of the `swagger-ui-bundle` wheel, nothing from elsewhere.

A policy header forbids the page to load or reach anything but this server, so it works offline and a key typed into
it goes nowhere else.
"""

from __future__ import annotations

from pathlib import Path

from starlette.responses import FileResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from swagger_ui_bundle import swagger_ui_path

_OWN = Path(__file__).parent / "pages"
_WHEEL = Path(swagger_ui_path)
_FILES = {
    "/docs": _OWN / "docs.html",
    "/docs/newleaf.css": _OWN / "newleaf.css",
    "/docs/newleaf.js": _OWN / "newleaf.js",
    "/docs/swagger-ui.css": _WHEEL / "swagger-ui.css",
    "/docs/swagger-ui-bundle.js": _WHEEL / "swagger-ui-bundle.js",
    "/docs/favicon-32x32.png": _WHEEL / "favicon-32x32.png",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class DocsMiddleware:
    """Serves `/docs` and the files it needs; everything else goes on."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a file of the docs page, or pass the request on."""
        path = _FILES.get(scope["path"]) if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") else None
        if path is None:
            await self.app(scope, receive, send)
            return
        response = FileResponse(path, headers={"content-security-policy": _POLICY, "cache-control": "no-cache"})
        await response(scope, receive, send)
