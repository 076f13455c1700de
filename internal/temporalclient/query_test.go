package temporalclient

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
)

// asked answers queries one after the other; the last answer stays.
type asked struct {
	client.Client
	takes   time.Duration
	answers []error
	queries int
}

func (a *asked) QueryWorkflow(context.Context, string, string, string, ...any) (converter.EncodedValue, error) {
	time.Sleep(a.takes)
	err := a.answers[min(a.queries, len(a.answers)-1)]
	a.queries++
	return nil, err
}

// A query is repeated as long as Temporal may ask only a process that is gone, and no
// longer: who asks where nobody polls is told so.
func TestQueryIsRepeated(t *testing.T) {
	refused := serviceerror.NewFailedPrecondition("no poller seen for task queue recently, worker may be down")
	for name, c := range map[string]struct {
		asked   asked
		queries int
		least   time.Duration
		most    time.Duration
		err     error
	}{
		"it answers":                       {asked: asked{answers: []error{nil}}, queries: 1},
		"the process that has it is gone":  {asked: asked{takes: time.Second, answers: []error{refused, refused, nil}}, queries: 3, least: 4 * time.Second, most: 5 * time.Second},
		"nobody polls":                     {asked: asked{takes: 9 * time.Second, answers: []error{refused}}, queries: 1, least: 9 * time.Second, most: 9 * time.Second, err: refused},
		"the refusals do not end":          {asked: asked{takes: time.Second, answers: []error{refused}}, queries: 9, least: 12 * time.Second, most: 14 * time.Second, err: refused},
		"it is another error":              {asked: asked{answers: []error{errors.ErrUnsupported}}, queries: 1, err: errors.ErrUnsupported},
		"the process is gone, then nobody": {asked: asked{takes: time.Second, answers: []error{refused, serviceerror.NewNotFound("")}}, queries: 2, least: 2 * time.Second, most: 3 * time.Second, err: serviceerror.NewNotFound("")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := (&Connection{Client: &c.asked}).QueryWorkflow(t.Context(), "w", "", "q")
				if took := time.Since(began); took < c.least || took > c.most {
					t.Errorf("it took %s", took)
				}
				if c.asked.queries != c.queries {
					t.Errorf("%d queries, want %d", c.asked.queries, c.queries)
				}
				if (err == nil) != (c.err == nil) || err != nil && err.Error() != c.err.Error() {
					t.Errorf("%v, want %v", err, c.err)
				}
			})
		})
	}
}
