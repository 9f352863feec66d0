package metrics

import "strings"

// ptbSplit are words of letters alone that a rule splits.
var ptbSplit = map[string]bool{"cannot": true, "gonna": true, "wanna": true, "gotta": true, "lemme": true, "gimme": true}

// ptbAbbreviations keep their period: in any case, but for those that are words in lower case or are not written in
// capitals.
var ptbAbbreviations = `(?i:` + strings.Join(ptbAnyCase, "|") + `)|` +
	`Ark|ARK|Del|DEL|Ill|ILL|La|LA|Mass|MASS|Miss|MISS|Ore|ORE|Pa|PA|Tex|TEX|Wash|WASH|[Mm]fg|[Pp]tys?|[Pp]te|(?i:ph\.d|ed\.d)`

var ptbAnyCase = strings.Fields(`jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thurs fri
	ala ariz az calif colo conn ct dak fla ga ind kan kans ky md mich minn mo mont neb nev okla penn tenn va vt wis wisc wyo
	inc co cos corp ltd plc rt bancorp dept bhd assn univ intl sys bros tel est ext sq jr sr blvd rd esq
	mr mrs ms dr drs prof profs sen sens rep reps atty attys lt col gen messrs gov govs adm rev maj sgt cpl pvt capt st ste ave
	pres lieut hon brig cmdr comdr pfc spc supt supts det mt ft adj adv asst assoc ens insp mlle mme msgr sfc bldg treas
	vs cf al alex wm jos cie etc seq natl elec`)

// ptbNumbered keep it before a number, in any case.
const ptbNumbered = `no|nos|ca|fig|figs|prop|art|pp|op`

// ptbOpening are words that open a sentence, so that the single letter before them ended one.
var ptbOpening = func() string {
	words := strings.Fields(`A About According Additionally After An As At But Earlier He Her Here However If In It Last Many
		More Now Once One Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You`)
	for _, w := range words {
		words = append(words, strings.ToUpper(w))
	}
	return strings.Join(words, "|") + `|M[rs]\.`
}()

// ptbExtensions are those of file names.
const ptbExtensions = `bat|bmp|c|class|cgi|cpp|dll|doc|docx|exe|gif|gz|h|htm|html|jar|java|jpeg|jpg|mov|mp3|pdf|php|pl|png|ppt|ps|py|sql|tar|txt|wav|x|xml|zip`

// ptbAbbreviated are the words of letters alone, in lower case, that a rule may leave a period at.
var ptbAbbreviated = func() map[string]bool {
	words := map[string]bool{}
	for _, list := range [][]string{ptbAnyCase, strings.Split(ptbNumbered, "|"),
		strings.Fields("ark del ill la mass miss ore pa tex wash mfg pty ptys pte")} {
		for _, w := range list {
			words[w] = true
		}
	}
	return words
}()
