package watcher

import "sync"

// imageSet is a set of images.
type imageSet struct {
	mu     sync.Mutex
	images map[image]struct{}
}

// put puts an image in.
func (s *imageSet) put(img image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.images == nil {
		s.images = make(map[image]struct{})
	}
	s.images[img] = struct{}{}
}

// take takes an image out and says whether it was in.
func (s *imageSet) take(img image) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, in := s.images[img]
	delete(s.images, img)
	return in
}

// byNamespace are images of each namespace; never an empty set.
type byNamespace map[string]map[image]struct{}

func (s byNamespace) put(img image) {
	if s[img.namespace] == nil {
		s[img.namespace] = make(map[image]struct{})
	}
	s[img.namespace][img] = struct{}{}
}

// remove says whether the image was in.
func (s byNamespace) remove(img image) bool {
	_, in := s[img.namespace][img]
	delete(s[img.namespace], img)
	if len(s[img.namespace]) == 0 {
		delete(s, img.namespace)
	}
	return in
}
