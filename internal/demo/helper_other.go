//go:build !unix

package demo

import (
	"os"
	"syscall"
)

func selfPath() string {
	p, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return p
}

func helperAttr(...string) (*syscall.SysProcAttr, error) { return nil, nil }
