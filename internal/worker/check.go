package worker

import (
	"context"
	"fmt"
	"strings"

	"millrace/internal/configdef"
	"millrace/internal/store"
)

// check validates a connector's config as POST and PUT do; the error is a 400
// with one line per problem.
func (w *Worker) check(ctx context.Context, name string, config *store.Map) error {
	props := config.Strings()
	if _, ok := props["connector.class"]; !ok {
		return statusErrorf(400, "Connector config %s contains no connector type", config)
	}
	p := w.reg.Connector(className(props))
	if p == nil {
		return statusErrorf(400, "%s", w.noClass(className(props)))
	}
	resolved, err := w.cfg.Providers.Resolve(props)
	if err != nil {
		return err
	}
	var lines []string
	for _, pr := range configdef.Errors(p.Def.Validate(resolved)) {
		lines = append(lines, pr.Text)
	}
	if len(lines) == 0 && p.Validate != nil {
		v, err := p.Def.Parse(resolved)
		if err != nil {
			return err
		}
		for _, pr := range p.Validate(ctx, v) {
			lines = append(lines, pr.Text)
		}
	}
	if len(lines) > 0 {
		return statusErrorf(400, "%s", invalidText(lines))
	}
	return nil
}

// invalidText is what Connect answers for a config that does not validate.
func invalidText(lines []string) string {
	return fmt.Sprintf("Connector configuration is invalid and contains the following %d error(s):\n%s\nYou can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`",
		len(lines), strings.Join(lines, "\n"))
}
