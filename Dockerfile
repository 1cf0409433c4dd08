FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir /wheels/*.whl
RUN useradd --create-home newleaf && mkdir /data && chown newleaf /data
USER newleaf
WORKDIR /data
VOLUME /data
ENV NEWLEAF_DATABASE_URL=sqlite:////data/newleaf.db
EXPOSE 8080
HEALTHCHECK CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/readyz')"]
CMD ["sh", "-c", "newleaf migrate && exec newleaf serve --host 0.0.0.0"]
