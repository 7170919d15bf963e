package functionshost

import "syscall"

// orphanSignal makes the kernel kill the handler when the host dies without having done so: on Azure the container ends with the host.
func orphanSignal(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGKILL }
