package main

import "runtime/debug"

// gcPercent lets the heap grow, as a server of many short calls wants it:
// collecting was a seventh of the CPU time.
const gcPercent = 400

func tune() { debug.SetGCPercent(gcPercent) }
