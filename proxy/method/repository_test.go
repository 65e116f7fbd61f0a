package method

import (
	"strings"
	"testing"
)

func TestRepository_validate(t *testing.T) {
	for _, tc := range []struct {
		desc string
		repo Repository
		want string // "" where the name is valid
	}{
		{"hashed", Repository{"default", "@hashed/6b/86/6b86b2.git"}, ""},
		{"pool", Repository{"default", "@pools/6b/86/6b86b2.git"}, ""},
		{"single component", Repository{"default", "a"}, ""},
		{"dots in a name", Repository{"default", "group/..project/a..b/...git"}, ""},
		{"other letters", Repository{"default", "größe/プロジェクト.git"}, ""},
		{"longest", Repository{"default", strings.Repeat("a", MaxRelativePath)}, ""},

		{"nothing", Repository{}, "repository not set"},
		{"no storage", Repository{RelativePath: "a.git"}, "storage name not set"},
		{"no path", Repository{StorageName: "default"}, "repository path not set"},
		{"too long", Repository{"default", strings.Repeat("a", MaxRelativePath+1)}, "relative path is 4097 bytes long, the limit is 4096"},
		{"absolute", Repository{"default", "/etc/passwd"}, `relative path "/etc/passwd" is absolute`},
		{"parent", Repository{"default", ".."}, `relative path ".." escapes the storage`},
		{"parent first", Repository{"default", "../other/a.git"}, `relative path "../other/a.git" escapes the storage`},
		{"parent between", Repository{"default", "a/../../b.git"}, `relative path "a/../../b.git" escapes the storage`},
		{"parent between, staying below", Repository{"default", "a/../b.git"}, `relative path "a/../b.git" escapes the storage`},
		{"parent last", Repository{"default", "a/.."}, `relative path "a/.." escapes the storage`},
		{"the storage itself", Repository{"default", "."}, `relative path "." is not clean`},
		{"dot first", Repository{"default", "./a.git"}, `relative path "./a.git" is not clean`},
		{"dot between", Repository{"default", "a/./b.git"}, `relative path "a/./b.git" is not clean`},
		{"empty component", Repository{"default", "a//b.git"}, `relative path "a//b.git" is not clean`},
		{"trailing slash", Repository{"default", "a.git/"}, `relative path "a.git/" is not clean`},
		{"NUL", Repository{"default", "a.git\x00.git"}, `relative path "a.git\x00.git" contains a NUL byte`},

		{"Gitaly's directory", Repository{"default", "+gitaly"}, `relative path "+gitaly" is reserved: the storage keeps its own files there`},
		{"below Gitaly's directory", Repository{"default", "+gitaly/tmp/a.git"}, `relative path "+gitaly/tmp/a.git" is reserved: the storage keeps its own files there`},
		{"the storage's id", Repository{"default", ".gitaly-metadata"}, `relative path ".gitaly-metadata" is reserved: the storage keeps its own files there`},
		{"the same name deeper", Repository{"default", "group/+gitaly/a.git"}, ""},
		{"inside a repository", Repository{"default", "@hashed/6b/86/6b86b2.git/objects"}, `relative path "@hashed/6b/86/6b86b2.git/objects" is inside the repository "@hashed/6b/86/6b86b2.git"`},
		{"a repository inside one", Repository{"default", "a.git/b.git"}, `relative path "a.git/b.git" is inside the repository "a.git"`},
		{"git's directory of a work tree", Repository{"default", "a/.git"}, ""},
		{"inside git's directory of a work tree", Repository{"default", "a/.git/objects"}, `relative path "a/.git/objects" is inside the repository "a/.git"`},
		{"all hashed repositories", Repository{"default", "@hashed"}, `relative path "@hashed" is a directory that holds repositories, not a repository`},
		{"some of them", Repository{"default", "@hashed/6b"}, `relative path "@hashed/6b" is a directory that holds repositories, not a repository`},
		{"fewer of them", Repository{"default", "@hashed/6b/86"}, `relative path "@hashed/6b/86" is a directory that holds repositories, not a repository`},
		{"all pools", Repository{"default", "@pools"}, `relative path "@pools" is a directory that holds repositories, not a repository`},
		{"upstream's own paths", Repository{"default", "@cluster/repositories/6b/86/17"}, ""},
		{"a group wiki", Repository{"default", "@groups/6b/86/6b86b2.wiki.git"}, ""},
	} {
		t.Run(tc.desc, func(t *testing.T) {
			got := ""
			if err := tc.repo.Validate(); err != nil {
				got = err.Error()
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
