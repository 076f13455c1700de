package delivertest

import (
	"os"
	"syscall"
)

// WriteProgram writes a file that can be executed at once. A process that another
// test starts meanwhile would inherit the open file, and Linux executes no file that
// somebody may write to ("text file busy").
func WriteProgram(path, text string) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, []byte(text), 0o755)
}
