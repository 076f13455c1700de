//go:build unix

package private

import (
	"io/fs"
	"syscall"
)

func ofFile(info fs.FileInfo) file {
	s := info.Sys().(*syscall.Stat_t)
	return file{info.Mode(), int(s.Uid), int(s.Gid)}
}
