package worker

import "testing"

func TestWithoutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"http://u:pass@h:1/x":                                        "http://u:[hidden]@h:1/x",
		"http://u:p@ss:w@h:1,https://v:q@i":                          "http://u:[hidden]@h:1,https://v:[hidden]@i",
		"http://u:a@h/1,https://v:b@i/2":                             "http://u:[hidden]@h/1,https://v:[hidden]@i/2",
		"jdbc:mysql://h/d?user=u&password=p&a=b":                     "jdbc:mysql://h/d?user=u&password=[hidden]&a=b",
		"jdbc:sqlserver://h;trustStorePassword=p;databaseName=d":     "jdbc:sqlserver://h;trustStorePassword=[hidden];databaseName=d",
		`org.x.PlainLoginModule required username="u" password="p";`: `org.x.PlainLoginModule required username="u" password=[hidden];`,
		"http://h:8081": "http://h:8081", "jdbc:postgresql://h:5432/d": "jdbc:postgresql://h:5432/d", "a=b, token": "a=b, token", "user@host": "user@host",
		"http://u@h:80/a@b": "http://u@h:80/a@b", "(.*):(.*)@(.*)": "(.*):(.*)@(.*)", "password": "password", "": "",
	} {
		if got := withoutSecrets(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// The texts are those of Java's decoder (odd-internal.yaml).
func TestJavaBase64(t *testing.T) {
	for in, want := range map[string]string{"YWJj": "abc", "YWJ": "ab", "YWI=": "ab", "": "", "!!": "Illegal base64 character 21", "YW Jj": "Illegal base64 character 20",
		"YWJj=": "Input byte array has wrong 4-byte ending unit", "A": "Input byte[] should at least have 2 bytes for base64 bytes", "YWJjZ": "Last unit does not have enough valid bits"} {
		data, problem := javaBase64(in)
		if got := string(data) + problem; got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
