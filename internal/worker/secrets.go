package worker

import "regexp"

// Secrets within values that are no passwords by their definition: the password of a
// URL's user, and parameters of URLs and JAAS entries that are named like one.
var (
	urlPassword   = regexp.MustCompile(`(://[^/\s:@?#]*:)[^/\s]*@`)
	namedPassword = regexp.MustCompile(`(?i)((?:^|[?&;,\s])[\w.-]*(?:password|passwd|pwd|passphrase|secret|token)\s*=\s*)("[^"]*"|[^&;,\s"]+)`)
)

// withoutSecrets hides them in a text that is shown or stored. Connect shows them.
func withoutSecrets(s string) string {
	s = urlPassword.ReplaceAllString(s, "${1}[hidden]@")
	return namedPassword.ReplaceAllString(s, "${1}[hidden]")
}

// hideSecrets hides them in the answer to a validation. What a client sent it knows; its
// logs and pages show the answer.
func (c *ConfigInfos) hideSecrets() {
	for i := range c.Configs {
		v := c.Configs[i].Value
		if v == nil {
			continue
		}
		if v.Value != nil {
			if s := withoutSecrets(*v.Value); s != *v.Value {
				v.Value = &s
			}
		}
		for j, e := range v.Errors {
			v.Errors[j] = withoutSecrets(e)
		}
	}
}
