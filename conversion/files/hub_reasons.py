"""Why the Hub does not give a repository, in a sentence for whoever asked; imports the Hub's client only when asked."""

from pathlib import Path

from .given_paths import meant_folder

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def hub_errors() -> tuple[type[Exception], ...]:
    """What the Hub's client raises when a request fails: its own errors, and those of its HTTP client, which depends on
    its version."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    return (HFValidationError, *HfHubHTTPError.__bases__, OSError)


def no_repository(name: str, revision: str | None, error: Exception) -> str:
    """The sentence for a name that is no folder, and no repository that the Hub gives."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return f"{name} is gated: ask for access on its page on the Hub, and {who()}."
    if isinstance(error, RevisionNotFoundError):
        asked = f"revision {revision}" if revision else "branch main"
        return f"the repository {name} on the Hub has no {asked}."
    at = f" (revision {revision})" if revision else ""
    neither = f"{name}{at} is neither a folder nor a repository that can be reached"
    where = meant_folder(Path(name)) or f" (a folder of this name would lie in {Path.cwd()})"
    if isinstance(error, RepositoryNotFoundError):
        return f"{neither}: the Hub has none of this name, or it is private; then {who()}{where}."
    return f"{neither}: {reason_of(error)}{where}."


def who() -> str:
    """What to do about the login."""
    from huggingface_hub import get_token

    if get_token():
        return "use the token of an account that may read it (HF_TOKEN, or `hf auth login`; `hf auth whoami` names it)"
    return LOG_IN


def reason_of(error: Exception) -> str:
    """The first line of an error; of a request that was refused what the server says of it."""
    answer = getattr(error, "response", None)
    status, said = getattr(answer, "status_code", None), getattr(error, "server_message", None)
    if status == 401:
        return "the Hub does not take the token (HF_TOKEN, or that of `hf auth login`)"
    text = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return f"{text}: {said}" if said else text
