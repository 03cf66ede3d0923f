# The image specification: manifests, indexes and image configurations.
holt_library(oci_image
  SOURCES image_spec.cc
  DEPS oci)

holt_test(oci_image_test SOURCES image_spec_test.cc DEPS oci_image)

holt_fuzz(image_spec_fuzz SOURCES image_spec_fuzz.cc DEPS oci_image CORPUS image_spec)
