package harmless

import (
	"fmt"
	"reflect"
)

// Own is text of Keywave's own that is fit for its sink already.
type Own string

// Sprintf is fmt.Sprintf for a sink: numbers, instants and what is Own stand as
// they are, and every other argument is a word of others, which sink makes
// harmless.
func Sprintf(sink func(string) string, format string, args ...any) string {
	if len(args) == 0 {
		return fmt.Sprintf(format, args...) // by which vet knows what this is
	}
	fit := make([]any, len(args))
	for i, a := range args {
		fit[i] = word(sink, a)
	}
	return fmt.Sprintf(format, fit...)
}

func word(sink func(string) string, a any) any {
	switch a := a.(type) {
	case nil:
		return nil
	case Own:
		return string(a)
	case fmt.Stringer, error, fmt.Formatter:
		return sink(fmt.Sprint(a))
	}
	switch kind := reflect.TypeOf(a).Kind(); {
	case kind == reflect.String:
		return sink(reflect.ValueOf(a).String())
	case kind <= reflect.Complex128: // truth and numbers
		return a
	}
	return sink(fmt.Sprint(a))
}
