"""Connexion's validators, brought as far as its own options bring them: formats checked, one value a parameter."""

from __future__ import annotations

from typing import Any

from connexion.datastructures import MediaTypeDict
from connexion.json_schema import Draft4RequestValidator
from connexion.lifecycle import ConnexionRequest
from connexion.uri_parsing import OpenAPIURIParser
from connexion.validators import JSONRequestBodyValidator, MultiPartFormDataValidator, ParameterValidator
from jsonschema import FormatChecker

from server.schemas import pointer
from storage.errors import Invalid, Problem

_FORMATS = FormatChecker()


def _invalid(name: str, message: str) -> Invalid:
    return Invalid("validation_failed", message, problems=[Problem(name, message)])


class OneValueURIParser(OpenAPIURIParser):
    """Takes each query parameter once."""

    def resolve_query(self, query_data: dict[str, list[str]]) -> dict[str, Any]:
        """The parameters by name. Raises Invalid for one that is repeated."""
        for name, values in query_data.items():
            if len(values) > 1 and name in self.param_defns:
                raise _invalid(name, f"{name} is given more than once")
        return dict(super().resolve_query(query_data))


class _Parameters(ParameterValidator):
    """Connexion's own check, whose refusal names the parameter instead of dumping its schema."""

    def validate_query_parameter_list(self, request: ConnexionRequest, security_params: Any = None) -> set[str]:
        unknown = super().validate_query_parameter_list(request, security_params)
        for name in sorted(unknown):
            raise _invalid(name[:100], f"Unknown query parameter {name[:100]}")
        return set()

    @staticmethod
    def validate_parameter(parameter_type: str, value: Any, param: dict[str, Any], param_name: Any = None) -> None:
        name = param["name"]
        if ParameterValidator.validate_parameter(parameter_type, value, param, param_name):
            raise _invalid(name, f"{name} is required" if value is None else f"{name} is invalid")


class _JsonBody(JSONRequestBodyValidator):
    @property
    def _validator(self) -> Any:
        return Draft4RequestValidator(self._schema, format_checker=_FORMATS)


class _MultipartBody(MultiPartFormDataValidator):
    @property
    def _validator(self) -> Any:
        return Draft4RequestValidator(self._schema, format_checker=_FORMATS)

    def _validate_params_strictly(self, data: dict[str, Any]) -> None:
        for name in sorted(data.keys() - self._schema.get("properties", {}).keys()):
            raise _invalid(pointer([name]), f"Unknown property {name[:100]}")


VALIDATORS = {
    "parameter": _Parameters,
    "body": MediaTypeDict({"*/*json": _JsonBody, "multipart/form-data": _MultipartBody}),
}
