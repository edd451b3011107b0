package main

// foundError says that a command has found what nobody wants; it leads to exit status 3.
type foundError struct{ msg string }

func (e *foundError) Error() string { return e.msg }
