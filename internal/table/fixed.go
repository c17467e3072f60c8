package table

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
)

// openStatic opens static:value, static:{ value with spaces }: it has that
// value for every key.
func openStatic(o *opening) (*backend, error) {
	value := o.name
	if value[0] == '{' {
		inner, err := unbrace(value)
		if err != nil {
			return nil, fmt.Errorf("bad %s:name syntax: %v", o.kind, err)
		}
		value = trim(inner)
	}
	return &backend{lookup: func(context.Context, string) (string, bool, error) {
		return value, true, nil
	}}, nil
}

// openEnviron opens environ:anything, the environment of the process.
func openEnviron(*opening) (*backend, error) {
	return &backend{lookup: func(_ context.Context, key string) (string, bool, error) {
		value, found := os.LookupEnv(key)
		return value, found, nil
	}}, nil
}

// openFail opens fail:anything, whose lookups fail: a table to test with.
func openFail(*opening) (*backend, error) {
	failure := errors.New("lookup error")
	return &backend{pattern: true, lookup: func(context.Context, string) (string, bool, error) {
		return "", false, failure
	}}, nil
}

// openRandmap opens randmap:{value, ...}: each lookup has one of the values.
func openRandmap(o *opening) (*backend, error) {
	values := members(o.name)
	if len(values) == 0 {
		return nil, fmt.Errorf("bad syntax: \"%s:%s\"; need \"%s:{value...}\"", o.kind, o.name, o.kind)
	}
	return &backend{pattern: true, lookup: func(context.Context, string) (string, bool, error) {
		return values[rand.IntN(len(values))], true, nil
	}}, nil
}
