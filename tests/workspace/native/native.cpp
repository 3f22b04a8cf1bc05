// The smallest extension in C++ that says what it was compiled with.
#include <Python.h>

#include <string>

namespace {

PyObject* answer(PyObject*, PyObject*) { return PyLong_FromLong(41); }

PyObject* compiled(PyObject*, PyObject*) {
#ifdef _LIBCPP_VERSION
  const std::string library = "libcxx";
#else
  const std::string library = "libstdcxx";
#endif
  return PyUnicode_FromString((library + " " + BUILD_TYPE).c_str());
}

PyMethodDef methods[] = {
    {"answer", answer, METH_NOARGS, nullptr}, {"compiled", compiled, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() { return PyModule_Create(&module); }
