package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/net/html"
)

// texts gives every paragraph of the package's files, in the order of their paths.
func (s source) texts(root string, give func(string) error) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || !strings.Contains(filepath.ToSlash(path), s.files) {
			return err
		}
		if s.kind == page && !strings.HasSuffix(path, ".html") {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return readers()[s.kind](f, give)
	})
}

func readers() map[kind]func(io.Reader, func(string) error) error {
	return map[kind]func(io.Reader, func(string) error) error{page: pageTexts, dict: dictTexts, gloss: glossTexts}
}

// The elements of a page whose text is a paragraph, and those that hold no prose.
func isParagraph(tag string) bool {
	return tag == "p" || tag == "dd" || tag == "li" || tag == "td" || tag == "blockquote"
}

func isOther(tag string) bool {
	switch tag {
	case "script", "style", "pre", "nav", "table", "header", "footer", "head", "form":
		return true
	}
	return false
}

// pageTexts gives the paragraphs of an HTML page, without programs and menus.
func pageTexts(r io.Reader, give func(string) error) error {
	root, err := html.Parse(r)
	if err != nil {
		return err
	}
	return walkPage(root, give)
}

func walkPage(n *html.Node, give func(string) error) error {
	if n.Type == html.ElementNode && isOther(n.Data) {
		return nil
	}
	if n.Type == html.ElementNode && isParagraph(n.Data) {
		var b strings.Builder
		collect(n, &b)
		if err := give(b.String()); err != nil {
			return err
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if err := walkPage(c, give); err != nil {
			return err
		}
	}
	return nil
}

// collect is the text of an element but for that of the paragraphs in it.
func collect(n *html.Node, b *strings.Builder) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		switch {
		case c.Type == html.TextNode:
			b.WriteString(c.Data)
		case c.Type != html.ElementNode || isOther(c.Data):
		case isParagraph(c.Data) || c.Data == "ul" || c.Data == "ol" || c.Data == "dl":
			b.WriteByte(' ')
		default:
			collect(c, b)
		}
	}
}

// dictTexts gives the definitions of a dictionary: lines that are indented.
func dictTexts(r io.Reader, give func(string) error) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	var b strings.Builder
	flush := func() error {
		text := b.String()
		b.Reset()
		return give(text)
	}
	err = lines(z, func(line string) error {
		if strings.TrimSpace(line) == "" || !strings.HasPrefix(line, " ") {
			return flush()
		}
		b.WriteByte(' ')
		b.WriteString(line)
		return nil
	})
	return errors.Join(err, flush())
}

// glossTexts gives the glosses of WordNet's synonym sets.
func glossTexts(r io.Reader, give func(string) error) error {
	return lines(r, func(line string) error {
		if _, text, ok := strings.Cut(line, "| "); ok {
			return give(text)
		}
		return nil
	})
}

func lines(r io.Reader, each func(string) error) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if err := each(s.Text()); err != nil {
			return err
		}
	}
	return s.Err()
}
