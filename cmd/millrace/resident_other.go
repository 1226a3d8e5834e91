//go:build !linux

package main

// trimText is for Linux.
func trimText() {}
