# ruff: noqa: E501 - one command a line, so that the table reads as a table
"""Every command by its words: the module that has it, its own words, and its line of help.

Looking a command up must not import the others: a new command is a line here and a ``Command`` in
its module.
"""

GROUPS = {
    "container": "Manage containers",
    "image": "Manage images",
    "network": "Manage networks",
    "system": "Manage Docker",
    "volume": "Manage volumes",
    "plan": "Show what would be done, and do nothing",
}

ROOT_GROUPS = ("container", "image", "network", "system", "volume")

COMMON = (
    "run",
    "exec",
    "ps",
    "build",
    "pull",
    "push",
    "images",
    "login",
    "logout",
    "version",
    "info",
)

_CONTAINER = {
    "attach": ("attach", "Attach local standard input, output, and error streams to a running container"),
    "commit": ("copy", "Create a new image from a container's changes"),
    "cp": ("copy", "Copy files/folders between a container and the local filesystem"),
    "create": ("run", "Create a new container"),
    "diff": ("copy", "Inspect changes to files or directories on a container's filesystem"),
    "exec": ("exec", "Execute a command in a running container"),
    "export": ("copy", "Export a container's filesystem as a tar archive"),
    "kill": ("lifecycle", "Kill one or more running containers"),
    "logs": ("logs", "Fetch the logs of a container"),
    "pause": ("lifecycle", "Pause all processes within one or more containers"),
    "port": ("containers", "List port mappings or a specific mapping for the container"),
    "rename": ("lifecycle", "Rename a container"),
    "restart": ("lifecycle", "Restart one or more containers"),
    "rm": ("lifecycle", "Remove one or more containers"),
    "run": ("run", "Create and run a new container from an image"),
    "start": ("start", "Start one or more stopped containers"),
    "stats": ("stats", "Display a live stream of container(s) resource usage statistics"),
    "stop": ("lifecycle", "Stop one or more running containers"),
    "top": ("containers", "Display the running processes of a container"),
    "unpause": ("lifecycle", "Unpause all processes within one or more containers"),
    "update": ("lifecycle", "Update configuration of one or more containers"),
    "wait": ("lifecycle", "Block until one or more containers stop, then print their exit codes"),
}  # fmt: skip

_IMAGE = {
    "build": ("build", "Build an image from a Dockerfile"),
    "history": ("images", "Show the history of an image"),
    "import": ("archives", "Import the contents from a tarball to create a filesystem image"),
    "load": ("archives", "Load an image from a tar archive or STDIN"),
    "pull": ("pull", "Download an image from a registry"),
    "push": ("pull", "Upload an image to a registry"),
    "save": ("archives", "Save one or more images to a tar archive (streamed to STDOUT by default)"),
    "tag": ("images", "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE"),
}  # fmt: skip

_OTHERS = {
    "ps": ("containers", "ps", "List containers"),
    "container ls": ("containers", "ps", "List containers"),
    "container list": ("containers", "ps", ""),
    "container ps": ("containers", "ps", ""),
    "container inspect": ("inspect", "container inspect", "Display detailed information on one or more containers"),
    "container prune": ("prune", "container prune", "Remove all stopped containers"),
    "container remove": ("lifecycle", "rm", ""),
    "images": ("images", "images", "List images"),
    "image ls": ("images", "images", "List images"),
    "image list": ("images", "images", ""),
    "image rm": ("images", "rmi", "Remove one or more images"),
    "image remove": ("images", "rmi", ""),
    "image inspect": ("inspect", "image inspect", "Display detailed information on one or more images"),
    "image prune": ("prune", "image prune", "Remove unused images"),
    "image from-host": ("transparent", "image from-host", "Make an image of programs of this machine"),
    "rmi": ("images", "rmi", "Remove one or more images"),
    "inspect": ("inspect", "inspect", "Return low-level information on Docker objects"),
    "login": ("login", "login", "Authenticate to a registry"),
    "logout": ("login", "logout", "Log out from a registry"),
    "version": ("system", "version", "Show the version information"),
    "info": ("system", "info", "Display system-wide information"),
    "system info": ("system", "info", "Display system-wide information"),
    "events": ("system", "events", "Get real time events from the server"),
    "system events": ("system", "events", "Get real time events from the server"),
    "system df": ("prune", "system df", "Show docker disk usage"),
    "system prune": ("prune", "system prune", "Remove unused data"),
    "network connect": ("networks", "network connect", "Connect a container to a network"),
    "network create": ("networks", "network create", "Create a network"),
    "network disconnect": ("networks", "network disconnect", "Disconnect a container from a network"),
    "network inspect": ("inspect", "network inspect", "Display detailed information on one or more networks"),
    "network ls": ("networks", "network ls", "List networks"),
    "network list": ("networks", "network ls", ""),
    "network prune": ("prune", "network prune", "Remove all unused networks"),
    "network rm": ("networks", "network rm", "Remove one or more networks"),
    "network remove": ("networks", "network rm", ""),
    "volume create": ("volumes", "volume create", "Create a volume"),
    "volume inspect": ("inspect", "volume inspect", "Display detailed information on one or more volumes"),
    "volume ls": ("volumes", "volume ls", "List volumes"),
    "volume list": ("volumes", "volume ls", ""),
    "volume prune": ("prune", "volume prune", "Remove unused local volumes"),
    "volume rm": ("volumes", "volume rm", "Remove one or more volumes"),
    "volume remove": ("volumes", "volume rm", ""),
    "daemon": ("daemon", "daemon", "Run the engine in the foreground (the same as cutawayd)"),
    "story": ("transparent", "story", "Tell what was done to the kernel for a container, why, and how long it took"),
    "port add": ("ports", "port add", "Publish ports of a running container, at once and at its next starts"),
    "port rm": ("ports", "port rm", "Publish ports of a running container no more"),
    "plan run": ("transparent", "plan run", "Show every step that `run` would take, and take none"),
}  # fmt: skip

INDEX: dict[str, tuple[str, str, str]] = {
    **{name: (module, name, text) for name, (module, text) in {**_CONTAINER, **_IMAGE}.items()},
    **{f"container {name}": (module, name, text) for name, (module, text) in _CONTAINER.items()},
    **{f"image {name}": (module, name, text) for name, (module, text) in _IMAGE.items()},
    **_OTHERS,
}
