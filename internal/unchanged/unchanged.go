// Package unchanged has the one rule of whether a file is still the one that was read.
package unchanged

import (
	"io/fs"
	"os"
)

// Since says that a file which is now as in now is the one that was read when it was as
// in then: the same file, of the same size, time and mode. A mode decides who may read
// it. Nothing is unchanged that was not read: then is nil.
func Since(then, now fs.FileInfo) bool {
	return then != nil && os.SameFile(then, now) && then.Size() == now.Size() && then.ModTime().Equal(now.ModTime()) && then.Mode() == now.Mode()
}
