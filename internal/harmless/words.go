package harmless

import (
	"fmt"
	"reflect"
)

// Own is Keywave's own text, which already fits its sink.
type Own string

// Sprintf is fmt.Sprintf for a sink. Numbers, instants and arguments of type
// Own stay as they are. Every other argument is a word of others, and sink
// makes it harmless.
func Sprintf(sink func(string) string, format string, args ...any) string {
	if len(args) == 0 {
		return fmt.Sprintf(format, args...) // so that vet checks the callers' formats
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
	case kind <= reflect.Complex128: // booleans and numbers
		return a
	}
	return sink(fmt.Sprint(a))
}
