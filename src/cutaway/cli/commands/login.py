"""``login`` and ``logout``."""

import base64
import sys

from cutaway.cli.command import Command, Context
from cutaway.cli.flags import UsageError, Values
from cutaway.cli.screen.terminal import warn
from cutaway.cli.settings.config_file import load_config, save_config
from cutaway.cli.settings.credentials import DOCKER_HUB, TRUST_FLAGS, call_helper, trust_headers


def login(context: Context, flags: Values, arguments: list[str]) -> int:
    """Ask the engine to try credentials at a registry, and keep those that work."""
    registry = arguments[0] if arguments else DOCKER_HUB
    if flags["password-stdin"] and not flags["username"]:
        raise UsageError("the --password-stdin option requires --username to be set")
    if flags["password-stdin"] and "password" in flags.given:
        raise UsageError("conflicting options: cannot specify both --password and --password-stdin")
    if "password" in flags.given:
        warn("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
    user = flags["username"] or _ask("Username: ")
    if flags["password-stdin"]:
        password = sys.stdin.read().rstrip("\r\n")
    else:
        password = flags["password"] or _ask_secret("Password: ")
    auth = {"username": user, "password": password, "serveraddress": registry}
    headers = trust_headers(flags["tls-verify"], flags["ca"])
    answer = context.client.request("POST", "/auth", body=auth, headers=headers).json()
    _keep(context, registry, auth, token=(answer or {}).get("IdentityToken", ""))
    print((answer or {}).get("Status", "Login Succeeded"))
    return 0


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError("Error: Cannot perform an interactive login from a non TTY device")
    return input(prompt).strip()


def _ask_secret(prompt: str) -> str:
    from getpass import getpass

    if not sys.stdin.isatty():
        raise UsageError("Error: Cannot perform an interactive login from a non TTY device")
    return getpass(prompt)


def _keep(context: Context, registry: str, auth: dict[str, str], *, token: str) -> None:
    import json

    config = load_config(context.config_dir)
    helper = config.get("credHelpers", {}).get(registry) or config.get("credsStore")
    entry: dict[str, str] = {}
    if helper:
        user, secret = ("<token>", token) if token else (auth["username"], auth["password"])
        document = {"ServerURL": registry, "Username": user, "Secret": secret}
        call_helper(helper, "store", json.dumps(document))
    else:
        pair = f"{auth['username']}:{'' if token else auth['password']}"
        entry["auth"] = base64.b64encode(pair.encode()).decode()
        if token:
            entry["identitytoken"] = token
        warn(f"WARNING! Your credentials are stored unencrypted in "
             f"'{context.config_dir}/config.json'.")  # fmt: skip
    config.setdefault("auths", {})[registry] = entry
    save_config(context.config_dir, config)


def logout(context: Context, flags: Values, arguments: list[str]) -> int:
    """Forget the credentials of a registry."""
    registry = arguments[0] if arguments else DOCKER_HUB
    config = load_config(context.config_dir)
    print(f"Removing login credentials for {registry}")
    helper = config.get("credHelpers", {}).get(registry) or config.get("credsStore")
    if helper:
        call_helper(helper, "erase", registry)
    if config.get("auths", {}).pop(registry, None) is not None:
        save_config(context.config_dir, config)
    return 0


COMMANDS = (
    Command(
        "login",
        "[OPTIONS] [SERVER]",
        "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.",
        login,
        flags="""
-p, --password string   Password or Personal Access Token (PAT)
    --password-stdin    Take the Password or Personal Access Token (PAT) from stdin
-u, --username string   Username
"""
        + TRUST_FLAGS,
        at_most=1,
    ),
    Command(
        "logout",
        "[SERVER]",
        "Log out from a registry.\n"
        "If no server is specified, the default is defined by the daemon.",
        logout,
        at_most=1,
    ),
)
