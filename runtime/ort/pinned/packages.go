package pinned

// Package is one package of a registry that carries the library for one platform.
type Package struct {
	Client        string   // "npm" or "pip"
	Spec          string   // what the client is asked for, as "onnxruntime-node@1.30.0"
	Args          []string // further arguments of the client that select the archive for this platform
	ArchiveSHA256 string   // of the archive the client writes, lower-case hexadecimal
	Member        string   // path of the library inside the archive
	LibrarySHA256 string   // of that member
	LibrarySize   int64    // bytes of that member
	Beside        []File   // what the library loads from its own folder
}

// File is one more file of a package, which is kept beside the library under Name.
type File struct {
	Member, Name string
	SHA256       string
	Size         int64
}

const (
	npmSpec   = "onnxruntime-node@" + Version
	npmSHA256 = "6e3390d6b783e7be946fad629292799da28d0b42f84856e50d2c1b0383291e75"
	npmBin    = "package/bin/napi-v6/"
	pipSpec   = "onnxruntime==" + Version
	pipCapi   = "onnxruntime/capi/"
)

// pipArgs selects one wheel whatever Python runs pip: the library inside is the same in the wheels of every Python
// version (compared for 3.11 to 3.14 on linux/amd64), so that of 3.12 is taken.
func pipArgs(platform string) []string {
	return []string{"--no-deps", "--only-binary=:all:", "--implementation", "cp", "--python-version", "3.12", "--platform", platform}
}

// Packages returns where the library for a platform ("linux/amd64") can be had, in the order to try; none for a
// platform that onnxruntime's packages of this Version do not support.
//
// The npm archive is the same file for every platform. The two clients carry different builds of the same release, so
// both hashes of a platform are right for a cached library.
func Packages(platform string) []Package {
	switch platform {
	case "linux/amd64":
		return []Package{
			npm("linux/x64/libonnxruntime.so.1", "ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23", 45828512),
			pip("manylinux_2_28_x86_64", "fa688e7891a6aa206636fe7372e27ee75fd17713289f6b4fc7b190e0a7de9328",
				"libonnxruntime.so.1.30.0", "c902c70b3003c0e99fada202f37478c515ae9bba7944c2b2abd0017bae0c82ed", 28985152),
		}
	case "linux/arm64":
		return []Package{
			npm("linux/arm64/libonnxruntime.so.1", "1f549d46250b005580b597f4164984aaf75b3bcb9f3aeb07c7f8a8fe60b23c76", 25135496),
			pip("manylinux_2_28_aarch64", "6c32a000d5139a38ba9349030b0032e3331acb559d596b22738d9d2b343a2b83",
				"libonnxruntime.so.1.30.0", "8a218e1e446880131115c368ec7005969a5022af9a15a26173de648fef0b7789", 25135496),
		}
	case "darwin/arm64":
		return []Package{
			npm("darwin/arm64/libonnxruntime.1.30.0.dylib", "685d2be5dba1309c89d3a5324b7fd06a5c42f1a61bfea32d14c4cc28d072121d", 44589928),
			pip("macosx_14_0_arm64", "001ed726c9bd5e2bc92faade7d37d889e9606a350b7d5529f0227df2e3bb57fd",
				"libonnxruntime.1.30.0.dylib", "b46713ea6a25a5227541c21001f6422c1ccdeaecc369aa026a61b752520325c3", 33209560),
		}
	default:
		return nil
	}
}

func npm(member, sum string, size int64) Package {
	return Package{Client: "npm", Spec: npmSpec, ArchiveSHA256: npmSHA256, Member: npmBin + member, LibrarySHA256: sum, LibrarySize: size}
}

func pip(platform, wheel, member, sum string, size int64) Package {
	return Package{Client: "pip", Spec: pipSpec, Args: pipArgs(platform), ArchiveSHA256: wheel, Member: pipCapi + member, LibrarySHA256: sum, LibrarySize: size}
}

// CUDAPackages returns where the GPU build for a platform can be had. It is PyPI's: npm's has no provider in it. This one
// is built for CUDA 13 and cuDNN 9, which it does not hold.
func CUDAPackages(platform string) []Package {
	if platform != "linux/amd64" {
		return nil
	}
	p := pip("manylinux_2_28_x86_64", "6acc0f4b3d5ac5f2984432faa59dd8fcce6775f8b43a7140afa0f322c7a703b1",
		"libonnxruntime.so.1.30.0", "5a140dc17c8b60b35b2ceab0bb533e65ac54f06a208948417c1f9c31df6afc4c", 29062976)
	p.Spec = "onnxruntime-gpu==" + Version
	for _, f := range []File{
		{Name: "libonnxruntime_providers_shared.so", SHA256: "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d", Size: 14632},
		{Name: "libonnxruntime_providers_cuda.so", SHA256: "35da2e7ed0dd0d1aec5cdb16ce11a51d06c0c48cf62d1b1c9332946a4fae14fc", Size: 272049904},
	} {
		f.Member = pipCapi + f.Name
		p.Beside = append(p.Beside, f)
	}
	return []Package{p}
}
