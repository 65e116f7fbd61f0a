package gitaly

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gitlab.com/gitlab-org/gitaly/v16/proto/go/gitalypb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"praefect/test/gitaly/internal/wire"
)

// The modes that files of a tree get here; git knows more.
const (
	plainFile      = "100644"
	executableFile = "100755"
)

// tree is the content of a commit being made: every file of it, by path.
type tree struct {
	repo  *repository
	files map[string]file
}

type file struct {
	mode string
	oid  string
}

// readTree returns the content of a commit, an empty one for none.
func (r *repository) readTree(ctx context.Context, commit string) (*tree, error) {
	t := &tree{repo: r, files: make(map[string]file)}
	if commit == "" {
		return t, nil
	}
	out, err := r.output(ctx, "ls-tree", "-r", "-z", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if line == "" {
			continue
		}
		meta, name, _ := strings.Cut(line, "\t")
		fields := strings.Fields(meta) // mode, kind, id
		if len(fields) != 3 {
			return nil, fmt.Errorf("malformed line %q in the listing of a tree", line)
		}
		t.files[name] = file{mode: fields[0], oid: fields[2]}
	}
	return t, nil
}

// write stores the tree and returns its id.
func (t *tree) write(ctx context.Context) (string, error) {
	var listing bytes.Buffer
	for name, f := range t.files {
		fmt.Fprintf(&listing, "%s %s\t%s\x00", f.mode, f.oid, name)
	}
	var oid string
	err := t.repo.storage.inTemp(func(dir string) error {
		index := []string{"GIT_INDEX_FILE=" + filepath.Join(dir, "index")}
		err := t.repo.run(ctx, command{args: []string{"update-index", "-z", "--index-info"}, env: index, stdin: &listing})
		if err != nil {
			return err
		}
		out, err := t.repo.git.output(ctx, command{repo: t.repo, args: []string{"write-tree"}, env: index})
		oid = strings.TrimSpace(string(out))
		return err
	})
	return oid, err
}

// apply does one action. Its errors are statuses; the ones that the client is to blame
// for carry Gitaly's details.
func (t *tree) apply(ctx context.Context, action *gitalypb.UserCommitFilesActionHeader, content io.Reader) error {
	name, err := cleanFilePath(action.GetFilePath())
	if err != nil {
		return err
	}
	if action.GetBase64Content() {
		content = base64.NewDecoder(base64.StdEncoding, content)
	}
	current, exists := t.files[name]
	switch action.GetAction() {
	case gitalypb.UserCommitFilesActionHeader_CREATE:
		if exists {
			return indexError(name, gitalypb.IndexError_ERROR_TYPE_FILE_EXISTS)
		}
		f := file{mode: mode(action.GetExecuteFilemode())}
		if f.oid, err = t.store(ctx, content); err != nil {
			return err
		}
		return t.add(name, f)
	case gitalypb.UserCommitFilesActionHeader_CREATE_DIR:
		if exists {
			return indexError(name, gitalypb.IndexError_ERROR_TYPE_FILE_EXISTS)
		}
		if len(t.below(name)) > 0 {
			return indexError(name, gitalypb.IndexError_ERROR_TYPE_DIRECTORY_EXISTS)
		}
		f := file{mode: plainFile}
		if f.oid, err = t.store(ctx, strings.NewReader("")); err != nil {
			return err
		}
		return t.add(path.Join(name, ".gitkeep"), f)
	case gitalypb.UserCommitFilesActionHeader_UPDATE:
		if !exists {
			return indexError(name, gitalypb.IndexError_ERROR_TYPE_FILE_NOT_FOUND)
		}
		if current.oid, err = t.store(ctx, content); err != nil {
			return err
		}
		t.files[name] = current
	case gitalypb.UserCommitFilesActionHeader_MOVE:
		return t.move(ctx, action, name, content)
	case gitalypb.UserCommitFilesActionHeader_DELETE:
		gone := t.below(name)
		if exists {
			gone = append(gone, name)
		}
		if len(gone) == 0 {
			return indexError(name, gitalypb.IndexError_ERROR_TYPE_FILE_NOT_FOUND)
		}
		for _, name := range gone {
			delete(t.files, name)
		}
	case gitalypb.UserCommitFilesActionHeader_CHMOD:
		if !exists {
			return indexError(name, gitalypb.IndexError_ERROR_TYPE_FILE_NOT_FOUND)
		}
		if current.mode == plainFile || current.mode == executableFile {
			current.mode = mode(action.GetExecuteFilemode())
		}
		t.files[name] = current
	default:
		return wire.InvalidArgument("unknown action %d", action.GetAction())
	}
	return nil
}

// move gives a file another name, and other content unless it shall keep its own.
func (t *tree) move(ctx context.Context, action *gitalypb.UserCommitFilesActionHeader, name string, content io.Reader) error {
	previous, err := cleanFilePath(action.GetPreviousPath())
	if err != nil {
		return err
	}
	f, exists := t.files[previous]
	if !exists {
		return indexError(previous, gitalypb.IndexError_ERROR_TYPE_FILE_NOT_FOUND)
	}
	if _, taken := t.files[name]; taken {
		return indexError(name, gitalypb.IndexError_ERROR_TYPE_FILE_EXISTS)
	}
	if !action.GetInferContent() {
		if f.oid, err = t.store(ctx, content); err != nil {
			return err
		}
	}
	delete(t.files, previous)
	return t.add(name, f)
}

// add puts a new file into the tree. It replaces a directory of its name, as
// in Gitaly; a file where it needs a directory is in its way.
func (t *tree) add(name string, f file) error {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, inTheWay := t.files[dir]; inTheWay {
			return indexError(dir, gitalypb.IndexError_ERROR_TYPE_FILE_EXISTS)
		}
	}
	for _, below := range t.below(name) {
		delete(t.files, below)
	}
	t.files[name] = f
	return nil
}

// below returns the files in a directory and in the directories within it.
func (t *tree) below(dir string) []string {
	var found []string
	for name := range t.files {
		if strings.HasPrefix(name, dir+"/") {
			found = append(found, name)
		}
	}
	return found
}

// store writes a blob as it comes in and returns its id.
func (t *tree) store(ctx context.Context, content io.Reader) (string, error) {
	out, err := t.repo.git.output(ctx, command{repo: t.repo, args: []string{"hash-object", "-w", "--stdin"}, stdin: content})
	return strings.TrimSpace(string(out)), wire.Fault(err, "write blob")
}

func mode(executable bool) string {
	if executable {
		return executableFile
	}
	return plainFile
}

// cleanFilePath returns the path of a file in its shortest form, or the status
// of one that no tree may hold.
func cleanFilePath(raw []byte) (string, error) {
	name := path.Clean(string(raw))
	switch {
	case len(raw) == 0:
		return "", indexError("", gitalypb.IndexError_ERROR_TYPE_EMPTY_PATH)
	case bytes.Contains(raw, []byte("//")), bytes.ContainsRune(raw, 0):
		return "", indexError(string(raw), gitalypb.IndexError_ERROR_TYPE_INVALID_PATH)
	case !filepath.IsLocal(name):
		return "", indexError(string(raw), gitalypb.IndexError_ERROR_TYPE_DIRECTORY_TRAVERSAL)
	case name == ".", slices.ContainsFunc(strings.Split(name, "/"), isGitDir):
		return "", indexError(string(raw), gitalypb.IndexError_ERROR_TYPE_INVALID_PATH)
	}
	return name, nil
}

func isGitDir(element string) bool { return strings.EqualFold(element, ".git") }

// indexError returns the status of an action that does not fit the tree.
func indexError(name string, kind gitalypb.IndexError_ErrorType) error {
	code, message := codes.InvalidArgument, fmt.Sprintf("invalid path: %q", name)
	switch kind {
	case gitalypb.IndexError_ERROR_TYPE_EMPTY_PATH:
		message = "You must provide a file path"
	case gitalypb.IndexError_ERROR_TYPE_DIRECTORY_TRAVERSAL:
		message = "Path cannot include directory traversal"
	case gitalypb.IndexError_ERROR_TYPE_FILE_EXISTS:
		code, message = codes.AlreadyExists, "A file with this name already exists"
	case gitalypb.IndexError_ERROR_TYPE_DIRECTORY_EXISTS:
		code, message = codes.AlreadyExists, "A directory with this name already exists"
	case gitalypb.IndexError_ERROR_TYPE_FILE_NOT_FOUND:
		code, message = codes.NotFound, "A file with this name doesn't exist"
	}
	return withDetails(status.New(code, message), &gitalypb.UserCommitFilesError{
		Error: &gitalypb.UserCommitFilesError_IndexUpdate{
			IndexUpdate: &gitalypb.IndexError{Path: []byte(name), ErrorType: kind},
		},
	})
}
