#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <functional>
#include <stdexcept>

#include "ttnn/operations/add/add.hpp"
#include "ttnn/tensor/tensor.hpp"

namespace {

// Exceptions of three libraries are told apart by their types.
PyObject* guarded(const std::function<PyObject*()>& body) {
    try {
        return body();
    } catch (const tt::umd::NoChips& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}

std::vector<float> floats(PyObject* sequence) {
    std::vector<float> values;
    for (Py_ssize_t i = 0; i < PySequence_Size(sequence); ++i) {
        PyObject* item = PySequence_GetItem(sequence, i);
        values.push_back(static_cast<float>(PyFloat_AsDouble(item)));
        Py_XDECREF(item);
    }
    return values;
}

PyObject* add(PyObject*, PyObject* args) {
    PyObject *a = nullptr, *b = nullptr;
    if (!PyArg_ParseTuple(args, "OO", &a, &b)) {
        return nullptr;
    }
    return guarded([&]() -> PyObject* {
        auto sum = ttnn::add(ttnn::Tensor(floats(a)), ttnn::Tensor(floats(b))).values();
        PyObject* list = PyList_New(0);
        for (float value : sum) {
            PyObject* item = PyFloat_FromDouble(value);
            PyList_Append(list, item);
            Py_XDECREF(item);
        }
        return list;
    });
}

PyObject* set_root_dir(PyObject*, PyObject* folder) {
    tt::tt_metal::SetRootDir(PyUnicode_AsUTF8(folder));
    Py_RETURN_NONE;
}

PyObject* compile_kernel(PyObject*, PyObject* name) {
    return guarded([&] { return PyUnicode_FromString(tt::tt_metal::compile_kernel(PyUnicode_AsUTF8(name)).c_str()); });
}

PyObject* open_device(PyObject*, PyObject*) {
    return guarded([] { return PyLong_FromSize_t(tt::tt_metal::open_cluster().chips().size()); });
}

PyObject* additions(PyObject*, PyObject*) { return PyLong_FromLong(ttnn::additions()); }
PyObject* is_debug(PyObject*, PyObject*) { return PyBool_FromLong(tt::tt_metal::is_debug()); }
PyObject* version(PyObject*, PyObject*) { return PyUnicode_FromString(tt::tt_metal::version().c_str()); }

PyMethodDef methods[] = {
    {"add", add, METH_VARARGS, "The sums."},
    {"additions", additions, METH_NOARGS, "How often add was called."},
    {"compile_kernel", compile_kernel, METH_O, "Compile a kernel by its name below the root."},
    {"is_debug", is_debug, METH_NOARGS, "Whether tt-metal is a Debug build."},
    {"open_device", open_device, METH_NOARGS, "How many chips there are."},
    {"set_root_dir", set_root_dir, METH_O, "Where kernels are."},
    {"version", version, METH_NOARGS, "Of tt-metal."},
    {nullptr, nullptr, 0, nullptr},
};

PyModuleDef module = {PyModuleDef_HEAD_INIT, "_ttnn", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__ttnn(void) { return PyModule_Create(&module); }
