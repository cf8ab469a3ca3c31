//go:build !unix

package registry

import "os/exec"

// ownGroup does nothing where there are no groups of processes: when its context ends
// only cmd itself is ended.
func ownGroup(*exec.Cmd) (end func()) { return func() {} }
