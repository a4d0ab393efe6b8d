"""The viewer: a page in the browser that shows a model's faces, and the handle that closes it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from morphkit.errors import MissingDependencyError, MorphkitError
from morphkit.io.atomic import ensure_writable
from morphkit.morphable import MorphableModel
from morphkit.viewer.coalescing import LatestOnly
from morphkit.viewer.guarding import Guard, start_guarded
from morphkit.viewer.session import Session
from morphkit.viewer.subject import Subject, open_subject
from morphkit.viewer.wording import one_line

if TYPE_CHECKING:
    from morphkit.fitting import FitResult

LOOPBACK = "127.0.0.1"
_REMEDY = (
    'The viewer needs viser: install it with `pip install "morphkit-3dmm[viewer]"`, from a clone with '
    '`pip install ".[viewer]"`.'
)


def view(
    source: MorphableModel | FitResult | str | os.PathLike[str] | None = None,
    *,
    model: MorphableModel | str | os.PathLike[str] | None = None,
    photo: str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    host: str = LOOPBACK,
    port: int = 0,
    components: int = 10,
    dark: bool = False,
    seed: int = 0,
    browser: bool = True,
) -> Viewer:
    """Show a model or a fit in the browser; returns at once.

    Parameters
    ----------
    source : a model or its file, a fit or the folder that `morphkit fit` wrote; None for the embedded head.
    model : that a folder's fit is of; None for the file that it names, or the embedded head.
    photo : of a folder's fit, if it does not lie beside it.
    output : the folder that exports are written to, beside the browser's download; None for the download
        alone.
    host : whom the page is for: by default, this machine alone. Whoever reaches the page may do all that it
        offers; pages of other sites in the same browser are refused.
    port : 0 takes a free one.
    components : sliders at hand in each group; more are folded away.
    dark : a dark page.
    seed : of the random faces.
    browser : open the page in the browser.

    Returns
    -------
    Viewer
        Close it, or use it as a context manager.

    Raises
    ------
    BadInputError
        If a file cannot be used, or a fit is of another model.
    MissingDependencyError
        If viser is not installed.
    MorphkitError
        If the port is taken, the folder for exports cannot be written to, or this version of viser cannot
        be guarded.
    """
    _ensure_viser()
    if output is not None:
        ensure_writable(Path(output) / "face.ply")
    subject = open_subject(source, model=model, photo=photo)
    session = Session(subject, seed, None if output is None else Path(output))
    viewer = Viewer(session, host, port, components, dark)
    if browser:
        webbrowser.open(viewer.url)
    return viewer


class Viewer:
    """A page that is being served; `view` makes it.

    Attributes
    ----------
    session : the face that it shows, for scripts; call `refresh` after a change.
    url : the page's address.
    """

    def __init__(self, session: Session, host: str, port: int, components: int, dark: bool) -> None:
        from morphkit.viewer.panel import Panel

        self.session = session
        self._server = _serve(host, port, session.subject)
        shown = LOOPBACK if host in ("0.0.0.0", "") else host  # noqa: S104 - compared, not bound
        self.url = f"http://{f'[{shown}]' if ':' in shown else shown}:{self._server.get_port()}"
        self._over = threading.Event()
        self._painter = LatestOnly(self._paint, self._failed)
        self._panel = Panel(self._server, session, self._painter.request, components, dark)
        self.refresh()

    def refresh(self) -> None:
        """Show what a script did to `session`, and set the sliders to it."""
        with self.session.lock:
            self._panel.push()
        self._painter.request()
        self._painter.wait()

    def wait(self) -> None:
        """Wait until the viewer is closed, or the person presses Ctrl-C."""
        while not self._over.wait(0.5):  # an endless wait could not be interrupted on Windows
            pass

    def close(self) -> None:
        """Stop serving the page."""
        if not self._over.is_set():
            self._over.set()
            self._painter.close()
            with _silence():
                self._server.stop()

    def __enter__(self) -> Viewer:
        """Return the viewer."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _paint(self) -> None:
        self._panel.draw()
        self._server.flush()

    def _failed(self, error: Exception) -> None:
        text = one_line(error) or type(error).__name__
        for client in self._server.get_clients().values():
            client.add_notification("That did not work", text, color="red")


def _ensure_viser() -> None:
    try:
        import viser  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(_REMEDY) from error


def _serve(host: str, port: int, subject: Subject) -> Any:
    """Start viser's server on exactly this address."""
    import viser

    _ensure_free(host, port)
    # it warns of every connection that ends early, such as a look at whether someone answers
    logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
    label = one_line(subject.title)
    with _silence():
        server = start_guarded(
            lambda: viser.ViserServer(host=host, port=port, label=label, verbose=False), Guard(host)
        )
    if port and server.get_port() != port:  # taken in the meantime: viser goes on to the next one
        with _silence():
            server.stop()
        raise _taken(host, port)
    server.request_share_url = _never  # nobody shares a face with a stranger's server by a click
    return server


def _ensure_free(host: str, port: int) -> None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, OverflowError) as error:
        if isinstance(error, socket.gaierror) or getattr(error, "errno", None) == 99:
            raise MorphkitError(
                f"{host} is not an address of this machine; choose another --host."
            ) from error
        raise _taken(host, port) from error


def _taken(host: str, port: int) -> MorphkitError:
    return MorphkitError(
        f"Port {port} of {host} cannot be used: something else is served there, or it may not be opened; "
        "choose another --port, or 0 for a free one."
    )


def _never(*_: object, **__: object) -> None:
    return None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep viser's banner to itself: morphkit says where the page is."""
    import rich

    console = rich.get_console()
    quiet, console.quiet = console.quiet, True
    try:
        yield
    finally:
        console.quiet = quiet
