"""The other peer: the rules about people as Cedar policies, evaluated in Rust behind a Python binding."""
