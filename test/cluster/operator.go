package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// OperatorEnv are the variables ("NAME=value") by which praefectctl finds the
// cluster.
func (c *Cluster) OperatorEnv() []string {
	var endpoints []string
	for _, i := range c.Instances {
		endpoints = append(endpoints, i.Addr)
	}
	return []string{
		"PRAEFECT_ENDPOINTS=" + strings.Join(endpoints, ","),
		"PRAEFECT_TOKEN_FILE=" + c.TokenFile, "PRAEFECT_ADMIN_TOKEN_FILE=" + c.AdminTokenFile,
	}
}

// Praefectctl runs the operator's tool and returns its standard output and exit
// code; the error is for a tool that could not be run to its end.
func (c *Cluster) Praefectctl(ctx context.Context, args ...string) (stdout string, code int, err error) {
	cmd := exec.CommandContext(ctx, c.Binaries.Path(Praefectctl), args...)
	cmd.Env = append(c.Binaries.environment(), c.OperatorEnv()...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return out.String(), exit.ExitCode(), nil
	}
	if err != nil {
		return "", 0, fmt.Errorf("run praefectctl %s: %w: %s", strings.Join(args, " "), err, &complaints)
	}
	return out.String(), 0, nil
}
