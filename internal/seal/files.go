package seal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// scratch is how the names of files begin that are not finished yet.
const scratch = ".keywave-new-"

// change runs do as the only change of the keyring, after removing what a change
// that was killed left behind.
func change(dir string, whose owner, do func() error) error {
	if err := whose.check(); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the keyring: %w", err)
	}
	unlock, err := lock(dir)
	if err != nil {
		return fmt.Errorf("cannot lock the keyring %s: %w", dir, err)
	}
	defer unlock()
	files, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("cannot read the keyring: %w", err)
	}
	for _, file := range files {
		if strings.HasPrefix(file.Name(), scratch) {
			if err := os.Remove(filepath.Join(dir, file.Name())); err != nil {
				return fmt.Errorf("cannot remove what an earlier change left: %w", err)
			}
		}
	}
	return do()
}

// replace writes a file whole or not at all, and durably: temporary file in the
// same directory, fsync, rename, fsync of the directory.
func replace(path string, data []byte, mode fs.FileMode) (err error) {
	file, err := os.CreateTemp(filepath.Dir(path), scratch)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = file.Close(), os.Remove(file.Name()) // what stays is removed by the next change
		}
	}()
	if err := file.Chmod(mode); err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(file.Name(), path); err != nil {
		return err
	}
	return errors.Join(file.Close(), syncDir(filepath.Dir(path)))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
