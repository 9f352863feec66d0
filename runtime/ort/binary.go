package ort

import (
	"bytes"
	"debug/elf"
	"debug/macho"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
)

// checkBinary reads the headers of a shared library and says in words what is wrong with it: no library at all, one
// for another system or processor, one that ends too early. The loader is not asked, because mapping a truncated
// library can kill the process instead of failing.
func checkBinary(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", path)
	}
	var magic [4]byte
	if _, err := io.ReadFull(f, magic[:]); err != nil {
		return fmt.Errorf("%s is not a shared library: %d bytes long", path, st.Size())
	}
	switch {
	case bytes.Equal(magic[:], []byte(elf.ELFMAG)):
		return checkELF(path, f, st.Size())
	case isMachO(magic):
		return checkMachO(path, f, st.Size())
	case magic[0] == 'M' && magic[1] == 'Z':
		return needOS(path, "windows")
	default:
		return fmt.Errorf("%s is not a shared library: it begins with % x", path, magic)
	}
}

func isMachO(magic [4]byte) bool {
	switch [4]byte(magic) {
	case [4]byte{0xcf, 0xfa, 0xed, 0xfe}, [4]byte{0xce, 0xfa, 0xed, 0xfe}, [4]byte{0xca, 0xfe, 0xba, 0xbe}:
		return true
	}
	return false
}

func needOS(path, goos string) error {
	if runtime.GOOS == goos {
		return nil
	}
	return fmt.Errorf("%s is a library for %s, this program runs on %s/%s", path, goos, runtime.GOOS, runtime.GOARCH)
}

// elfMachines and machoCPUs name the processors of headers as Go does.
var elfMachines = map[elf.Machine]string{
	elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_386: "386", elf.EM_ARM: "arm", elf.EM_RISCV: "riscv64",
	elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x", elf.EM_LOONGARCH: "loong64",
}

var machoCPUs = map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}

func checkELF(path string, r io.ReaderAt, size int64) error {
	if runtime.GOOS == "darwin" || runtime.GOOS == "windows" {
		return needOS(path, "linux")
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return fmt.Errorf("%s is a damaged or truncated library (%d bytes): %w", path, size, err)
	}
	if f.Type != elf.ET_DYN {
		return fmt.Errorf("%s is not a shared library but an ELF file of type %s", path, f.Type)
	}
	if arch := elfMachines[f.Machine]; arch != runtime.GOARCH {
		return wrongArch(path, arch, f.Machine.String())
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && !within(p.Off, p.Filesz, size) {
			return truncated(path, size, p.Off, p.Filesz)
		}
	}
	return nil
}

func checkMachO(path string, r io.ReaderAt, size int64) error {
	if err := needOS(path, "darwin"); err != nil {
		return err
	}
	fat, err := macho.NewFatFile(r)
	if err == nil {
		for _, a := range fat.Arches {
			if machoCPUs[a.Cpu] == runtime.GOARCH {
				return checkSegments(path, a.File, int64(a.Size))
			}
		}
		return wrongArch(path, "", "a universal library without it")
	}
	if !errors.Is(err, macho.ErrNotFat) {
		return fmt.Errorf("%s is a damaged or truncated library (%d bytes): %w", path, size, err)
	}
	f, err := macho.NewFile(r)
	if err != nil {
		return fmt.Errorf("%s is a damaged or truncated library (%d bytes): %w", path, size, err)
	}
	if arch := machoCPUs[f.Cpu]; arch != runtime.GOARCH {
		return wrongArch(path, arch, f.Cpu.String())
	}
	return checkSegments(path, f, size)
}

func checkSegments(path string, f *macho.File, size int64) error {
	for _, l := range f.Loads {
		if s, ok := l.(*macho.Segment); ok && !within(s.Offset, s.Filesz, size) {
			return truncated(path, size, s.Offset, s.Filesz)
		}
	}
	return nil
}

// within reports whether length bytes from offset on lie in a file of size bytes, whatever numbers a header holds.
func within(offset, length uint64, size int64) bool {
	return length <= uint64(size) && offset <= uint64(size)-length
}

func truncated(path string, size int64, offset, length uint64) error {
	return fmt.Errorf("%s is truncated: it has %d bytes, but a segment of %d bytes begins at %d", path, size, length, offset)
}

func wrongArch(path, arch, name string) error {
	if arch == "" {
		arch = name
	}
	return fmt.Errorf("%s is a library for %s, this program is built for %s", path, arch, runtime.GOARCH)
}
