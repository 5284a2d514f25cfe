"""The only client code that touches a socket, a file or a clock."""
