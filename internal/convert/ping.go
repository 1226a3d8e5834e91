package convert

import (
	"context"
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"

	"millrace/internal/configdef"
)

// PingRegistry asks the Schema Registry of a converter, once and without changing
// anything, which kinds of schemas it knows. def and props are the converter's.
// The addresses are returned without user and password; the error is one line that
// says why the registry cannot be used.
func PingRegistry(ctx context.Context, def *configdef.Def, props map[string]string) (addresses string, err error) {
	v, err := def.Parse(props)
	if err != nil {
		return "", err
	}
	urls, _, err := registryURLs(v)
	if err != nil {
		return "", err
	}
	addresses = strings.Join(urls, ",")
	r, err := newRegistry(v)
	if err != nil {
		return addresses, err
	}
	_, err = r.cl.SupportedTypes(ctx)
	var e *sr.ResponseError
	switch {
	case err == nil:
		return addresses, nil
	case errors.As(err, &e) && e.StatusCode == 404:
		return addresses, nil // it answers, and is too old for the question
	case errors.As(err, &e):
		return addresses, configError("the registry answers with status %d: %s", e.StatusCode, e.Message)
	}
	return addresses, configError("%s", networkReason(err))
}
