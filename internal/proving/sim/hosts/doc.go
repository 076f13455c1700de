// Package hosts is a set of simulated hosts. Each is a real SSH server on its
// own loopback port, with its own directory and host key, that runs the
// commands it is given with sh in that directory. It behaves as OpenSSH's sshd
// does where a client can notice (at most 10 sessions on a connection; a
// command that outlives its connection finds the end of its input), and has bad
// days on demand.
package hosts
