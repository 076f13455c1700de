package delivertest

import (
	"os"
	"syscall"
)

// WriteProgram writes a file that can be executed at once. Without it, a
// process that another test starts at the same time could inherit the open
// file, and Linux executes no file that is open for writing ("text file busy").
func WriteProgram(path, text string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, []byte(text), 0o755)
}
