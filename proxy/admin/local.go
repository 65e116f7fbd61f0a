package admin

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// localFile is the name of the secret in a data directory.
const localFile = "admin-token"

// MakeLocalToken returns the secret in an instance's data directory, which it
// makes if there is none. A process that can read it could as well take the instance's part in the
// cluster. So the secret suffices for changes where no admin token was given out.
func MakeLocalToken(dataDir string) (string, error) {
	path := filepath.Join(dataDir, localFile)
	text, err := os.ReadFile(path)
	if err == nil && strings.TrimSpace(string(text)) != "" {
		return strings.TrimSpace(string(text)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the token of operators on this machine: %w", err)
	}
	token := rand.Text()
	if err := os.WriteFile(path, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the token of operators on this machine: %w", err)
	}
	return token, nil
}

// LocalToken returns the secret in a data directory, nothing if there is none
// that this process can read.
func LocalToken(dataDir string) string {
	text, err := os.ReadFile(filepath.Join(dataDir, localFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
