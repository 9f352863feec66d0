package runtime

import (
	"bytes"
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/ghostwriter-dp/ghostwriter/tokenize"
)

// A recipe is a set of hyperparameters under a name: what Li et al. 2022 publish for a task and a method, or what stands
// in for it. Its file holds two YAML documents: the options of train, so that it is a --config file too, and what only a
// recipe says. The recipe that has a task's name gives the defaults of that task.
type recipe struct {
	name    string
	title   string // the file's first line
	file    []byte
	options FinetuneOptions
	about   recipeAbout
	task    tokenize.Task
	text    bool // a language model is trained, not a classifier
}

// recipeAbout is the second document.
type recipeAbout struct {
	// Published are the numbers of records that batch and epochs were published for.
	Published []int64 `yaml:"published-records"`
	// RateOpen is the learning rate of --no-privacy.
	RateOpen float64 `yaml:"lr-no-privacy"`
	// RateLarge is the learning rate for more than largeModel trained numbers; 0 for the same.
	RateLarge float64 `yaml:"lr-large"`
}

// largeModel is the number of trained numbers above which RateLarge holds.
const largeModel = 500e6

//go:embed recipes/*.yaml
var recipeFiles embed.FS

// recipeDir is their folder in the program.
const recipeDir = "recipes"

// recipeNames lists the recipes.
func recipeNames() (names []string) {
	files, _ := recipeFiles.ReadDir(recipeDir) // sorted; the folder is in the program
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// recipes by name, read once from the files in the program.
var recipes = sync.OnceValues(func() (map[string]*recipe, error) {
	out := map[string]*recipe{}
	for _, name := range recipeNames() {
		data, err := recipeFiles.ReadFile(path.Join(recipeDir, name+".yaml"))
		if err != nil {
			return nil, err
		}
		if out[name], err = parseRecipe(name, data); err != nil {
			return nil, fmt.Errorf("recipe %s: %w", name, err)
		}
	}
	return out, nil
})

func parseRecipe(name string, data []byte) (*recipe, error) {
	r := &recipe{name: name, file: data}
	first, _, _ := strings.Cut(string(data), "\n")
	r.title = strings.TrimSpace(strings.TrimPrefix(first, "#"))
	var err error
	if r.options, err = ParseOptions(data); err != nil {
		return nil, err
	}
	r.options.given = nil
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	var skipped any
	if err := dec.Decode(&skipped); err != nil {
		return nil, err
	}
	if err := dec.Decode(&r.about); err != nil {
		return nil, err
	}
	r.task = tokenize.Task(r.options.Task)
	r.text = !r.task.Classifies()
	return r, nil
}

// A RecipeInfo is a recipe's entry in the list.
type RecipeInfo struct {
	Name  string `json:"name"`
	Task  string `json:"task"`
	Title string `json:"title"`
}

// Recipes lists the recipes by name.
func Recipes() ([]RecipeInfo, error) {
	all, err := recipes()
	if err != nil {
		return nil, err
	}
	var out []RecipeInfo
	for _, name := range recipeNames() {
		out = append(out, RecipeInfo{name, all[name].options.Task, all[name].title})
	}
	return out, nil
}

// RecipeText is the YAML of a recipe. It wraps ErrUsage for a name that there is not.
func RecipeText(name string) ([]byte, error) {
	r, err := recipeNamed(name)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(r.file), nil
}

func recipeNamed(name string) (*recipe, error) {
	all, err := recipes()
	if err != nil {
		return nil, err
	}
	r, ok := all[name]
	if !ok {
		return nil, usage("unknown recipe %q; there are %s", name, strings.Join(recipeNames(), ", "))
	}
	return r, nil
}

// published says whether batch and epochs of a recipe are those of a data set of about n records.
func (r *recipe) published(n int64) bool {
	return slices.ContainsFunc(r.about.Published, func(p int64) bool {
		ratio := float64(n) / float64(p)
		return ratio >= 0.8 && ratio <= 1.25
	})
}
