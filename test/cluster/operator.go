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
	stdout, _, code, err = c.praefectctl(ctx, args)
	return stdout, code, err
}

// Operate runs the operator's tool, which must succeed: the error has its output
// if it did not.
func (c *Cluster) Operate(ctx context.Context, args ...string) (stdout string, err error) {
	stdout, stderr, code, err := c.praefectctl(ctx, args)
	if err == nil && code != 0 {
		err = fmt.Errorf("praefectctl %s: exit code %d: %s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout, err
}

func (c *Cluster) praefectctl(ctx context.Context, args []string) (stdout, stderr string, code int, err error) {
	cmd := exec.CommandContext(ctx, c.Binaries.Path(Praefectctl), args...)
	cmd.Env = append(c.Binaries.environment(), c.OperatorEnv()...)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
		return out.String(), complaints.String(), exit.ExitCode(), nil
	}
	if err != nil {
		return "", "", 0, fmt.Errorf("run praefectctl %s: %w: %s", strings.Join(args, " "), err, &complaints)
	}
	return out.String(), complaints.String(), 0, nil
}
