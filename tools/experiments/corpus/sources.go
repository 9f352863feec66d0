package main

// A source is a package and where its prose lies.
type source struct {
	name    string
	licence string // as its copyright file states it
	files   string // a part of the path of the files to read
	kind    kind
}

// kind is how a file holds its prose.
type kind int

const (
	page  kind = iota // HTML
	dict              // a dictionary of the DICT protocol: gzip, entries indented
	gloss             // WordNet's data files: a gloss after a bar
)

// sources lists the packages, prose first. All are free documentation in Debian 12.
func sources() []source {
	return []source{
		{"dict-gcide", "GPL-3+", "gcide.dict.dz", dict},
		{"wordnet-base", "WordNet", "wordnet/data.", gloss},
		{"debian-handbook", "GPL-2+ or CC-BY-SA-3.0", "html/en-US/", page},
		{"gimp-help-en", "GFDL-1.2+", "/en/", page},
		{"libreoffice-help-en-us", "MPL-2.0", "/en-US/text/", page},
		{"python3.11-doc", "PSF-2", "/html/", page},
		{"apache2-doc", "Apache-2.0", "/en/", page},
		{"git-doc", "GPL-2", ".html", page},
		{"debian-reference-en", "GPL-2+", ".en.html", page},
		{"debian-policy", "GPL-2+", ".html", page},
		{"developers-reference", "GPL-2+", ".html", page},
		{"linux-doc-6.1", "GPL-2", "/html/", page},
	}
}
