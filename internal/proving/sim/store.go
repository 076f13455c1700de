package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// entry is one line of the state file: a zone that was added or deleted, or a
// key that an action gave to a zone.
type entry struct {
	Zone *Zone     `json:"zone,omitempty"`
	Gone bool      `json:"gone,omitempty"`
	ID   string    `json:"id"`
	Key  string    `json:"key,omitempty"`
	By   string    `json:"by,omitempty"`
	At   time.Time `json:"at"`
}

// store is the state file. A line is written before what it says becomes true.
// A nil store keeps nothing.
type store struct{ file *os.File }

// openStore reads the file, if it exists, and goes on writing to it. A last
// line that a kill cut short never became true, and is removed.
func openStore(path string, replay func(entry)) (*store, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot open the simulator's state: %w", err)
	}
	whole, err := replayLines(file, replay)
	if err == nil {
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("cannot read the simulator's state %s; remove it to begin anew: %w", path, err)
	}
	return &store{file}, nil
}

// replayLines returns how many bytes are whole lines.
func replayLines(file io.Reader, replay func(entry)) (int64, error) {
	data, err := io.ReadAll(file)
	if err != nil {
		return 0, err
	}
	whole := bytes.LastIndexByte(data, '\n') + 1
	number := 0
	for line := range bytes.Lines(data[:whole]) {
		number++
		var e entry
		if json.Unmarshal(line, &e) != nil {
			return 0, fmt.Errorf("line %d is damaged", number)
		}
		replay(e)
	}
	return int64(whole), nil
}

func (s *store) append(e entry) error {
	if s == nil {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = s.file.Write(append(line, '\n'))
	return err
}

// Close closes the file.
func (s *store) Close() error {
	if s == nil {
		return nil
	}
	return s.file.Close()
}
