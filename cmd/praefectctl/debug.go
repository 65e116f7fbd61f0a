package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"praefect/proxy/admin"
)

const (
	// debugTimeout bounds a bundle if -timeout does not, debugFileLimit one file of it.
	debugTimeout   = time.Minute
	debugFileLimit = 32 << 20
)

func (p *program) debugBundle() *cli.Command {
	return &cli.Command{
		Name:  "bundle",
		Usage: "collect what a person needs that looks for a fault, as a .tar.gz",
		Description: "The bundle holds the status, the instances, history, queue, repositories that are behind and\n" +
			"accepted losses; and of each instance that can be asked its settings without secrets, metrics,\n" +
			"goroutines and the place of its log. It needs the admin token. It holds paths of repositories and\n" +
			"names of operators, and no secret. What cannot be had is named in errors.txt.",
		Flags: []cli.Flag{&cli.StringFlag{Name: "file", Usage: "write to this `FILE`; default praefectctl-debug-TIME.tar.gz here"}},
		Action: p.action(nil, func(ctx context.Context, r *run) error {
			ctx, cancel := r.within(ctx, debugTimeout)
			defer cancel()
			now := time.Now().UTC()
			name := "praefectctl-debug-" + now.Format("20060102T150405Z")
			file := r.cmd.String("file")
			if file == "" {
				file = name + ".tar.gz"
			}
			b := &bundle{secrets: []string{r.to.token, r.to.adminToken}, content: map[string]*bytes.Buffer{}}
			r.collect(ctx, b)
			if len(b.names) == 0 {
				return coded{exitUnavailable, fmt.Errorf("no instance told anything:\n%w", errors.Join(b.errs...))}
			}
			b.add("errors.txt", []byte(b.problems()))
			if err := b.write(file, name, now); err != nil {
				return err
			}
			document := struct {
				Schema int      `json:"schema"`
				File   string   `json:"file"`
				Files  []string `json:"files"`
				Errors []string `json:"errors"`
			}{admin.Schema, file, b.names, strings.Split(strings.TrimSpace(b.problems()), "\n")}
			return r.answer(document, func(out *output) {
				out.printf("%s %s: files: %d\n", out.mark(good), file, len(b.names))
				for _, err := range b.errs {
					out.printf("  %s %s\n", out.mark(warning), err.Error())
				}
				out.printf("  it holds no secret; look through it before you give it away: it names repositories and operators\n")
			})
		}),
	}
}

// collect asks the cluster and each instance. A question that fails is noted, and the rest goes on.
func (r *run) collect(ctx context.Context, b *bundle) {
	for _, q := range []struct {
		name string
		ask  func(context.Context, *admin.Client) (any, error)
	}{
		{"status.json", func(ctx context.Context, c *admin.Client) (any, error) { return c.Status(ctx, admin.StatusRequest{}) }},
		{"raft.json", func(ctx context.Context, c *admin.Client) (any, error) { return c.RaftStatus(ctx) }},
		{"history.json", func(ctx context.Context, c *admin.Client) (any, error) { return c.History(ctx, admin.HistoryRequest{}) }},
		{"dataloss.json", func(ctx context.Context, c *admin.Client) (any, error) {
			return c.Dataloss(ctx, admin.DatalossRequest{})
		}},
		{"queue.json", func(ctx context.Context, c *admin.Client) (any, error) {
			return c.QueueList(ctx, admin.QueueListRequest{})
		}},
		{"losses.json", func(ctx context.Context, c *admin.Client) (any, error) { return c.Losses(ctx, admin.LossesRequest{}) }},
	} {
		share, cancel := context.WithTimeout(ctx, r.cmd.Duration("timeout"))
		answer, err := ask(share, r.to, q.ask)
		cancel()
		var text []byte
		if err == nil {
			text, err = json.MarshalIndent(answer, "", "  ")
		}
		if err != nil {
			b.failed(q.name, err)
			continue
		}
		b.add(q.name, text)
	}
	type files struct {
		instance string
		content  map[string]*bytes.Buffer
	}
	for _, t := range everywhere(ctx, r.to, func(f files) string { return f.instance }, func(ctx context.Context, _ string, c *admin.Client) (files, error) {
		f := files{content: map[string]*bytes.Buffer{}}
		err := c.Debug(ctx, func(instance, name string, content []byte) error {
			f.instance = instance
			if f.content[name] == nil {
				f.content[name] = &bytes.Buffer{}
			}
			if f.content[name].Len()+len(content) <= debugFileLimit {
				f.content[name].Write(content)
			}
			return nil
		})
		return f, err
	}) {
		if t.err != nil {
			b.failed("files of the instance", &askError{t.address, t.err})
			continue
		}
		for name, content := range t.answer.content {
			b.add(path.Join("instances", path.Base(t.instance), path.Base(name)), content.Bytes())
		}
	}
}

// bundle holds the collected files.
type bundle struct {
	names   []string
	content map[string]*bytes.Buffer
	errs    []error
	// secrets are the ones that the tool itself knows: if one of them turns up anywhere, it is
	// taken out.
	secrets []string
}

func (b *bundle) failed(name string, err error) {
	b.errs = append(b.errs, fmt.Errorf("%s: %w", name, err))
}

func (b *bundle) problems() string {
	var text strings.Builder
	for _, err := range b.errs {
		text.WriteString(err.Error() + "\n")
	}
	return text.String()
}

// add adds a file, without any secret that is known here.
func (b *bundle) add(name string, content []byte) {
	for _, secret := range b.secrets {
		if secret != "" {
			content = bytes.ReplaceAll(content, []byte(secret), []byte("[redacted]"))
		}
	}
	if b.content[name] == nil {
		b.names = append(b.names, name)
	}
	b.content[name] = bytes.NewBuffer(content)
}

// write writes the bundle, readable by its owner only, in the place of the file at once.
func (b *bundle) write(file, top string, now time.Time) error {
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	err = b.pack(temp, top, now)
	if err := errors.Join(err, temp.Close()); err != nil {
		return errors.Join(fmt.Errorf("write the bundle: %w", err), os.Remove(temp.Name()))
	}
	return os.Rename(temp.Name(), file)
}

func (b *bundle) pack(w io.Writer, top string, now time.Time) error {
	zip := gzip.NewWriter(w)
	archive := tar.NewWriter(zip)
	for _, name := range b.names {
		content := b.content[name].Bytes()
		header := &tar.Header{Name: path.Join(top, name), Mode: 0o600, Size: int64(len(content)), ModTime: now, Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(content); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), zip.Close())
}
