"""What `serve` and `inspect` share: an extra that must be installed, a port that must be free, who is let in."""

import importlib.util
import socket
import sys

from anomaly_diffusion.cli.user_errors import UsageError

__all__ = ["check_address", "need", "tell_of_strangers"]

_OURS = "127.0.0.1"


def need(package: str, extra: str) -> None:
    """Make sure that a package is installed.

    Raises:
        ImportError: naming the command that installs it.
    """
    if importlib.util.find_spec(package) is None:
        raise ImportError(f"{package} is not installed. Run: pip install 'anomaly-diffusion[{extra}]'")


def check_address(host: str, port: int) -> None:
    """Make sure that nobody listens there yet.

    Raises:
        OSError: the port is busy, or the host is none of this machine.
        UsageError: the port does not lie in [1024, 65535].
    """
    if not 1024 <= port <= 65535:
        raise UsageError(f"`--port` must lie in [1024, 65535], got {port}.")
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            mend = "Leave --host out, or choose another port" if host != _OURS else "Choose another port"
            hint = f"{mend}: --port {port + 1}"
            raise OSError(f"Port {port} of {host} cannot be used ({error.strerror}). {hint}") from None


def tell_of_strangers(host: str) -> None:
    """Warn that other machines are let in, if they are."""
    if host != _OURS:
        told = f"warning: {host} lets every machine in that reaches this one, and asks for no password."
        print(f"{told} Without --host, this machine alone is let in.", file=sys.stderr)
