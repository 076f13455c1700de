package hostile

import (
	"reflect"
	"time"
)

// Fill sets every exported text below *v to w, whatever it is for. Empty lists
// get one element. Numbers stay.
func Fill(v any, w string) { fill(reflect.ValueOf(v), w, 0) }

// deepest is how far Fill goes into types that contain themselves.
const deepest = 12

func fill(v reflect.Value, w string, depth int) {
	if depth > deepest || !v.IsValid() {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() && v.CanSet() && v.Type().Elem() != reflect.TypeFor[time.Time]() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem(), w, depth+1)
	case reflect.String:
		if v.CanSet() {
			v.SetString(w)
		}
	case reflect.Slice:
		if v.Len() == 0 && v.CanSet() {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			fill(v.Index(i), w, depth+1)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), w, depth+1)
			}
		}
	}
}
