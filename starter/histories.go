package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"keywave/internal/temporalclient"
)

// recordHistories writes the histories of workflows of at most maxRecorded events
// to dir, as JSON that the replayer reads. Promise 10 is tested with them.
// named gives each the end of its file's name; empty leaves it out.
func recordHistories(ctx context.Context, conn *temporalclient.Connection, dir string, named func(kind, id string) string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	found, err := conn.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000})
	if err != nil {
		return err
	}
	written := map[string]int{}
	for _, e := range found.GetExecutions() {
		kind := e.GetType().GetName()
		if e.GetHistoryLength() > maxRecorded || written[shape(kind, e.GetHistoryLength())] >= samples {
			continue
		}
		name := named(kind, e.GetExecution().GetWorkflowId())
		if name == "" {
			continue
		}
		h, err := historyOf(ctx, conn, e.GetExecution().GetWorkflowId(), e.GetExecution().GetRunId())
		if err != nil {
			return err
		}
		written[shape(kind, e.GetHistoryLength())]++
		if len(h.GetEvents()) > 0 && e.GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW {
			name += "_continued"
		}
		body, err := protojson.Marshal(h)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, strings.ToLower(kind)+"-"+name+".json"), nameless(body), 0o644); err != nil {
			return err
		}
	}
	if len(written) == 0 {
		return errors.New("there was no history to record")
	}
	return nil
}

// byID names a history after its workflow.
func byID(_, id string) string { return strings.ReplaceAll(id, "/", "_") }

// A few histories of each length tell all that the others would.
const (
	maxRecorded = 320
	samples     = 2
)

// nameless takes this machine's name out of a history, its payloads included.
func nameless(body []byte) []byte {
	host, err := os.Hostname()
	if err != nil || host == "" {
		return body
	}
	name := regexp.MustCompile(`([@-])` + regexp.QuoteMeta(host) + `\b`)
	other := []byte("${1}a-machine")
	body = name.ReplaceAll(body, other)
	return regexp.MustCompile(`"data":\s*"[A-Za-z0-9+/=]+"`).ReplaceAllFunc(body, func(field []byte) []byte {
		encoded := field[bytes.LastIndexByte(field[:len(field)-1], '"')+1 : len(field)-1]
		plain, err := base64.StdEncoding.DecodeString(string(encoded))
		if err != nil {
			return field
		}
		return fmt.Appendf(nil, `"data":%q`, base64.StdEncoding.EncodeToString(name.ReplaceAll(plain, other)))
	})
}

func shape(kind string, events int64) string { return fmt.Sprintf("%s/%d", kind, events) }

func historyOf(ctx context.Context, conn *temporalclient.Connection, id, run string) (*history.History, error) {
	h := &history.History{}
	events := conn.GetWorkflowHistory(ctx, id, run, false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return nil, err
		}
		h.Events = append(h.Events, e)
	}
	return h, nil
}
