package gitaly

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// tarFile adds a file to an archive; one that is gone meanwhile is passed over.
func tarFile(w *tar.Writer, file, name string) (err error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: int64(info.Mode().Perm())}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	if _, err := io.CopyN(w, f, info.Size()); err != nil {
		return fmt.Errorf("archive %q: %w", name, err)
	}
	return nil
}

// tarTree adds all files below a directory to an archive, in order, their
// names below name. An absent directory has none.
func tarTree(w *tar.Writer, dir, name string, want func(relative string) bool) error {
	return filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		relative, err := filepath.Rel(dir, file)
		if err != nil || !want(relative) {
			return err
		}
		return tarFile(w, file, filepath.Join(name, relative))
	})
}

// untar unpacks the files of an archive below dir. Anything but a file or a
// directory within it is refused.
func untar(dir string, from io.Reader) error {
	r := tar.NewReader(from)
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
		name := filepath.Clean(header.Name)
		if !filepath.IsLocal(name) || strings.ContainsRune(name, 0) {
			return fmt.Errorf("archive has the name %q, which leads out of it", header.Name)
		}
		target := filepath.Join(dir, name)
		switch header.Typeflag {
		case tar.TypeDir:
			err = os.MkdirAll(target, 0o755)
		case tar.TypeReg:
			err = unpackFile(target, fs.FileMode(header.Mode).Perm(), r)
		default:
			err = fmt.Errorf("archive has %q, which is neither file nor directory", header.Name)
		}
		if err != nil {
			return err
		}
	}
}

func unpackFile(target string, mode fs.FileMode, content io.Reader) (err error) {
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	if mode&0o100 != 0 {
		// A child that is started while a script is open for writing holds it open, and no
		// process can run it then. So all of it is received first.
		text, err := io.ReadAll(content)
		if err != nil {
			return fmt.Errorf("unpack %q: %w", target, err)
		}
		syscall.ForkLock.RLock()
		defer syscall.ForkLock.RUnlock()
		return os.WriteFile(target, text, mode|0o600)
	}
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode|0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(f, content); err != nil {
		return fmt.Errorf("unpack %q: %w", target, err)
	}
	return nil
}

// receiver is the data of a stream, as a reader; io.EOF ends both.
type receiver struct {
	receive func() ([]byte, error)
	data    []byte // received, not read
}

// Read reads.
func (r *receiver) Read(p []byte) (int, error) {
	for len(r.data) == 0 {
		var err error
		if r.data, err = r.receive(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.data)
	r.data = r.data[n:]
	return n, nil
}
