//go:build unix && !linux

package functionshost

import "syscall"

// orphanSignal does nothing: only Linux can tie a child's life to its parent's. A handler outlives a host that is killed.
func orphanSignal(*syscall.SysProcAttr) {}
