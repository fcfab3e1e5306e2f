"""A server that answers `docker run --rm` at once and does nothing: what is left is the CLI's own.

python bench/nothing.py SOCKET
"""

import socket
import sys
import threading

ID = "0" * 64
PING = b"HTTP/1.1 200 OK\r\nApi-Version: 1.48\r\nOstype: linux\r\nContent-Length: 0\r\n\r\n"
ATTACHED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
STARTED = b"HTTP/1.1 204 No Content\r\n\r\n"


def document(text: str, status: str = "200 OK") -> bytes:
    """Return an answer with a JSON body."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(text)}\r\n\r\n{text}".encode()


class Server:
    """Serves one container after the other, which ends when it is started."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        stream = connection.makefile("rb")
        while request := stream.readline().decode():
            length = 0
            while (line := stream.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            stream.read(length)
            if self.answer(connection, request.split()[1].partition("?")[0]):
                break
        connection.close()
        stream.close()

    def answer(self, connection: socket.socket, path: str) -> bool:
        """Answer one request; say if the connection is at its end."""
        if path.endswith("/_ping"):
            connection.sendall(PING)
        elif path.endswith("/create"):
            self.ended.clear()
            connection.sendall(document(f'{{"Id":"{ID}","Warnings":[]}}', "201 Created"))
        elif path.endswith("/attach"):
            connection.sendall(ATTACHED)
            self.ended.wait()
            connection.shutdown(socket.SHUT_RDWR)
            return True
        elif path.endswith("/start"):
            connection.sendall(STARTED)
            self.ended.set()
        elif path.endswith("/wait"):
            text = '{"StatusCode":0}'
            head = (
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
            )
            connection.sendall(f"{head}\r\n\r\n".encode())
            self.ended.wait()
            connection.sendall(text.encode())
        else:
            connection.sendall(document('{"message":"this server does nothing"}', "404 Not Found"))
        return False


def main() -> None:
    """Serve until the process is ended."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(sys.argv[1])
    listener.listen(64)
    server = Server()
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=server.serve, args=(connection,), daemon=True).start()


if __name__ == "__main__":
    main()
